"""Read the plain data of a pickle without running it: containers, numbers, text and numpy arrays, nothing else.

A pickle is a program that calls functions it names. This reader interprets the instructions that build plain data,
takes the names by which numpy's arrays are built for mere marks, and calls nothing: anything else ends in an error.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

_MARK = object()
_MAX_BYTES = 2**31


class _Reconstruct:
    """Stands for numpy's function that makes an empty array."""


class _ArrayType:
    """Stands for ``numpy.ndarray``."""


class _DtypeType:
    """Stands for ``numpy.dtype``."""


class _Encode:
    """Stands for ``_codecs.encode``, by which newer protocols write bytes for older ones."""


_NAMES: dict[tuple[str, str], type] = {
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _DtypeType,
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct,
    ("_codecs", "encode"): _Encode,
}


class _Dtype:
    """A dtype under construction."""

    def __init__(self, code: str) -> None:
        if code.lstrip("<>|=") not in {"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "b1"}:
            raise ValueError(f"dtype {code!r} is not a plain number")
        self.code = code.lstrip("<>|=")
        self.order = "<"

    def build(self, state: tuple[Any, ...]) -> None:
        """Take the byte order; the rest of the state belongs to structured types."""
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]

    def make(self) -> np.dtype[Any]:
        return np.dtype(f"{'' if self.order == '|' else self.order}{self.code}")


class _Array:
    """An array under construction."""

    def __init__(self) -> None:
        self.value: np.ndarray[Any, Any] | None = None

    def build(self, state: tuple[Any, ...]) -> None:
        """Make the array of (version, shape, dtype, is_fortran, bytes)."""
        _, shape, dtype, fortran, data = state
        if not (isinstance(dtype, _Dtype) and isinstance(shape, tuple) and all(type(side) is int for side in shape)):
            raise ValueError("an array of no plain dtype or shape")
        flat = np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, dtype.make())
        self.value = flat.reshape(shape, order="F" if fortran is True or fortran == 1 else "C")


def load_plain_pickle(data: bytes) -> Any:
    """Return the data of a pickle of protocol 0 to 4; the byte strings of Python 2 become text (latin-1).

    Args:
        data: Contents of the file.
    Raises:
        ValueError: If it is damaged, or holds anything but containers, numbers, text, bytes and numpy arrays.
    """
    if len(data) > _MAX_BYTES:
        raise ValueError(f"over {_MAX_BYTES} bytes")
    reader = _Reader()
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return _finish(reader.stack.pop())
            reader.step(opcode.name, argument)
    except (IndexError, TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise ValueError(f"damaged pickle ({type(error).__name__}: {error})") from None
    raise ValueError("damaged pickle, it does not end")


def _finish(value: Any) -> Any:
    """Replace arrays under construction in the outermost containers by arrays."""
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without contents")
        return value.value
    if isinstance(value, dict):
        return {key: _finish(entry) if isinstance(entry, _Array) else entry for key, entry in value.items()}
    if isinstance(value, (type, _Dtype)):
        raise ValueError("holds a name instead of data")
    return value


class _Reader:
    """The stack and the memo of an unpickling."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in _PUSHES:
            self.stack.append(_PUSHES[name](argument))
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"instruction {name}; only plain data and numpy arrays are read")

    def pop_to_mark(self) -> list[Any]:
        position = len(self.stack) - 1
        while self.stack[position] is not _MARK:
            position -= 1
            if position < 0:
                raise ValueError("damaged pickle, a mark is missing")
        items = self.stack[position + 1 :]
        del self.stack[position:]
        return items

    def pop_tuple(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def put(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def name(self, module: str, attribute: str) -> None:
        if (module, attribute) not in _NAMES:
            raise ValueError(f"refers to {module}.{attribute}; only plain data and numpy arrays are read")
        self.stack.append(_NAMES[module, attribute])

    def name_from_stack(self) -> None:
        attribute, module = self.stack.pop(), self.stack.pop()
        self.name(module, attribute)

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if function is _Reconstruct and arguments[0] is _ArrayType:
            self.stack.append(_Array())
        elif function is _DtypeType and isinstance(arguments[0], str):
            self.stack.append(_Dtype(arguments[0]))
        elif function is _Encode and isinstance(arguments[0], str) and arguments[1:] == ("latin1",):
            self.stack.append(arguments[0].encode("latin-1"))
        else:
            raise ValueError("a call that makes no plain data")

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _Dtype)):
            raise ValueError("a state of an object that is no plain data")
        self.stack[-1].build(state)

    def set_items(self, items: list[Any]) -> None:
        table = self.stack[-1]
        if not isinstance(table, dict):
            raise ValueError("damaged pickle, an entry of no dictionary")
        table.update(_pair(items))

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("damaged pickle, an element of no list")
        self.stack[-1].extend(items)


def _pair(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _keep(argument: Any) -> Any:
    return argument


_PUSHES: dict[str, Callable[[Any], Any]] = {
    "MARK": lambda _: _MARK,
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    **dict.fromkeys(
        (
            *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"),
            *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
            *("STRING", "BINSTRING", "SHORT_BINSTRING"),
            *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        ),
        _keep,
    ),
}
_ACTIONS: dict[str, Callable[[_Reader, Any], Any]] = {
    "POP": lambda r, _: r.stack.pop(),
    "POP_MARK": lambda r, _: r.pop_to_mark(),
    "DUP": lambda r, _: r.stack.append(r.stack[-1]),
    "PUT": lambda r, a: r.put(int(a)),
    "BINPUT": lambda r, a: r.put(a),
    "LONG_BINPUT": lambda r, a: r.put(a),
    "MEMOIZE": lambda r, _: r.put(None),
    "GET": lambda r, a: r.stack.append(r.memo[int(a)]),
    "BINGET": lambda r, a: r.stack.append(r.memo[a]),
    "LONG_BINGET": lambda r, a: r.stack.append(r.memo[a]),
    "TUPLE": lambda r, _: r.stack.append(tuple(r.pop_to_mark())),
    "TUPLE1": lambda r, _: r.pop_tuple(1),
    "TUPLE2": lambda r, _: r.pop_tuple(2),
    "TUPLE3": lambda r, _: r.pop_tuple(3),
    "LIST": lambda r, _: r.stack.append(r.pop_to_mark()),
    "DICT": lambda r, _: r.stack.append(_pair(r.pop_to_mark())),
    "APPEND": lambda r, _: r.extend([r.stack.pop()]),
    "APPENDS": lambda r, _: r.extend(r.pop_to_mark()),
    "SETITEM": lambda r, _: r.set_items([r.stack.pop(), r.stack.pop()][::-1]),
    "SETITEMS": lambda r, _: r.set_items(r.pop_to_mark()),
    "GLOBAL": lambda r, a: r.name(*a.split(" ", 1)),
    "STACK_GLOBAL": lambda r, _: r.name_from_stack(),
    "REDUCE": lambda r, _: r.reduce(),
    "BUILD": lambda r, _: r.build(),
}
