"""A reader of pickles that runs nothing: it can build numbers, text, plain containers, numpy arrays, and descriptions.

Pickle is a program for a small machine, and its usual reader lets that program call whatever it names. This one is an
interpreter of its own over the opcodes that ``pickletools`` decodes. It imports nothing, calls nothing that a file
names, and sets no attribute; names it does not know are refused before anything comes of them. It bounds the number of
steps, and what it allocates is at most a small multiple of the file.
"""

from __future__ import annotations

import mmap
import pickletools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celebahq_tools.errors import InputError
from pggan_core.passive_objects import FUNCTIONS, Dtype, Maker, Name, PassiveArray, PassiveObject, PickleRefusedError

_MOST_STEPS = 2_000_000
_MARK = object()


def read_pickle(path: Path, classes: frozenset[tuple[str, str]]) -> Any:
    """Return what a pickle holds.

    Args:
        path: The file.
        classes: (module, name) of the classes whose objects become :class:`PassiveObject`.
    Returns:
        None, bool, int, float, str, bytes, list, tuple, dict, set, :class:`PassiveArray` or :class:`PassiveObject`.
    Raises:
        PickleRefusedError: If the file needs anything else, or is damaged; the message says what.
        InputError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            # Through a map, a length that the file claims and does not have allocates nothing.
            return _Machine(path, classes, len(view)).run(view)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except PickleRefusedError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError, struct.error) as error:
        raise PickleRefusedError(f"{path}: damaged, or not a pickle ({str(error)[:200]})") from None


class _Machine:
    def __init__(self, path: Path, classes: frozenset[tuple[str, str]], size: int) -> None:
        self._path, self._classes = path, classes
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._maker = Maker(size, self._refuse)

    def run(self, view: mmap.mmap) -> Any:
        """Carry out the program and return its result."""
        for step, (opcode, argument, position) in enumerate(pickletools.genops(view)):  # type: ignore[arg-type]
            if step >= _MOST_STEPS:
                raise self._refuse(f"has more than {_MOST_STEPS} steps")
            if opcode.name == "STOP":
                return self._pop()
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise self._refuse(f"uses the opcode {opcode.name} (at byte {position})")
            action(self, argument)
        raise self._refuse("ends before its end")

    def _refuse(self, what: str) -> PickleRefusedError:
        return PickleRefusedError(
            f"{self._path}: {what}, which no released network does; refused, and nothing of it was run"
        )

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise self._refuse("takes a mark for a value")
        return value

    def _top(self, kind: type[Any]) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            raise self._refuse(f"changes something that is no {kind.__name__}")
        return self._stack[-1]

    def _pop_marked(self) -> list[Any]:
        items: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            items.append(value)
        return items[::-1]

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def pop_any(self, _: object) -> None:
        """Drop the top of the stack, a mark too."""
        self._stack.pop()

    def pop_marked(self, _: object) -> None:
        """Drop everything down to the mark."""
        self._pop_marked()

    def duplicate(self, _: object) -> None:
        """Repeat the top of the stack."""
        value = self._pop()
        self._stack += [value, value]

    def remember(self, key: int | None) -> None:
        """Keep the top of the stack under a number, or under the next one."""
        if not self._stack or self._stack[-1] is _MARK:
            raise self._refuse("remembers what is not there")
        self._memo[len(self._memo) if key is None else key] = self._stack[-1]

    def recall(self, key: int) -> None:
        """Push what was kept under a number."""
        self._stack.append(self._memo[key])

    def make_tuple(self, count: int | None) -> None:
        """Join the values above the mark, or that many."""
        if count is None:
            self.push(tuple(self._pop_marked()))
        else:
            self.push(tuple([self._pop() for _ in range(count)][::-1]))

    def make_list(self, _: object) -> None:
        """Join the values above the mark."""
        self.push(self._pop_marked())

    def make_dict(self, _: object) -> None:
        """Pair the values above the mark."""
        items = self._pop_marked()
        self.push({})
        self._set_items(items)

    def make_frozenset(self, _: object) -> None:
        """Collect the values above the mark."""
        self.push(set(map(self._check_key, self._pop_marked())))

    def append(self, _: object) -> None:
        """Append one value to a list."""
        value = self._pop()
        self._top(list).append(value)

    def append_all(self, _: object) -> None:
        """Append the values above the mark to a list."""
        values = self._pop_marked()
        self._top(list).extend(values)

    def add_all(self, _: object) -> None:
        """Add the values above the mark to a set."""
        values = self._pop_marked()
        self._top(set).update(map(self._check_key, values))

    def set_item(self, _: object) -> None:
        """Set one item of a dict."""
        value, key = self._pop(), self._pop()
        self._set_items([key, value])

    def set_items(self, _: object) -> None:
        """Set the items above the mark."""
        self._set_items(self._pop_marked())

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            raise self._refuse("holds a key without its value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self._check_key(key)] = value

    def _check_key(self, key: Any) -> Any:
        # A tuple as a key could nest so deeply that hashing it overflows the stack of the process.
        if type(key) not in (str, int, bytes, bool, float, type(None)):
            raise self._refuse(f"has a {type(key).__name__} as a key")
        return key

    def name_text(self, text: str) -> None:
        """Push a global given as ``"module name"``."""
        module, _, name = text.partition(" ")
        self._push_name(module, name)

    def name_stack(self, _: object) -> None:
        """Push a global whose two words are on the stack."""
        name, module = self._pop(), self._pop()
        if type(module) is not str or type(name) is not str:
            raise self._refuse("names a global by something other than text")
        self._push_name(module, name)

    def _push_name(self, module: str, name: str) -> None:
        if (module, name) not in FUNCTIONS and (module, name) not in self._classes:
            raise self._refuse(f"asks for {module[:80]}.{name[:80]}")
        self.push(Name(module, name))

    def call(self, _: object) -> None:
        """Carry out a constructor that is known."""
        arguments, named = self._pop(), self._pop()
        if type(named) is not Name or type(arguments) is not tuple:
            raise self._refuse("calls something that is not a name")
        self.push(self._maker.make(named, arguments))

    def make_object(self, _: object) -> None:
        """Describe a new object of a foreign class."""
        arguments, named = self._pop(), self._pop()
        if type(named) is not Name or (named.module, named.name) not in self._classes or arguments != ():
            raise self._refuse("makes an object of an unknown class")
        self.push(PassiveObject(named.module, named.name))

    def set_state(self, _: object) -> None:
        """Give an array, a type or a foreign object its contents."""
        state = self._pop()
        target = self._stack[-1]
        if type(target) is PassiveObject and type(state) is dict:
            target.state = state
        elif type(target) is PassiveArray and type(state) is tuple and len(state) == 5 and target.values is None:
            _, shape, dtype, fortran, data = state
            target.values = self._maker.make_array(data, dtype, shape, fortran=fortran is True).values
        elif type(target) is Dtype and type(state) is tuple and len(state) >= 2 and state[1] in ("<", ">", "|", "="):
            target.order = state[1]
        else:
            raise self._refuse("sets the state of something that has none")


def _push_argument(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _push(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(make())


def _join(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.make_tuple(count)


def _do_nothing(machine: _Machine, argument: Any) -> None:
    """Frames and the protocol number mean nothing here."""


_VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8"
)
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_VALUES.split(), _push_argument),
    **dict.fromkeys(("PROTO", "FRAME"), _do_nothing),
    "NONE": _push(lambda: None),
    "NEWTRUE": _push(lambda: True),
    "NEWFALSE": _push(lambda: False),
    "EMPTY_LIST": _push(list),
    "EMPTY_TUPLE": _push(tuple),
    "EMPTY_DICT": _push(dict),
    "EMPTY_SET": _push(set),
    "MARK": _push(lambda: _MARK),
    "POP": _Machine.pop_any,
    "POP_MARK": _Machine.pop_marked,
    "DUP": _Machine.duplicate,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.remember),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.recall),
    "TUPLE": _Machine.make_tuple,
    **{f"TUPLE{count}": _join(count) for count in (1, 2, 3)},
    "LIST": _Machine.make_list,
    "DICT": _Machine.make_dict,
    "FROZENSET": _Machine.make_frozenset,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_all,
    "ADDITEMS": _Machine.add_all,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name_text,
    "STACK_GLOBAL": _Machine.name_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.make_object,
    "BUILD": _Machine.set_state,
}
