"""What a pickle read by :mod:`pggan_core.passive_pickle` can hold beside plain values, and how it is made.

Only what stands here is ever made of a file's bytes: arrays of numbers and descriptions of foreign objects.
Constructors are known by their names and carried out by own code; nothing is imported or called that a file names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celebahq_tools.errors import InputError

_MOST_DIMENSIONS = 8
_DTYPE = re.compile(r"[fiu][1248]|b1")


class PickleRefusedError(InputError):
    """A pickle asks for something that only code could give, or is damaged."""


@dataclass(frozen=True)
class Name:
    """A global that the file names; a mere pair of words."""

    module: str
    name: str


@dataclass(eq=False)
class PassiveObject:
    """What stands for an object of a foreign class.

    Attributes:
        module, name: Of its class.
        state: What the file holds of it.
    """

    module: str
    name: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class PassiveArray:
    """An array; ``values`` is None until the file has given them."""

    values: NDArray[Any] | None = None


@dataclass(eq=False)
class Dtype:
    """The type of an array's numbers: numpy's code, such as ``f4``, and the order of bytes."""

    code: str
    order: str = "<"


# Constructors whose meaning is known. All of them are carried out here; none is ever looked up.
FUNCTIONS = {
    **{(f"numpy.{core}.multiarray", name): name for core in ("core", "_core") for name in ("_reconstruct", "scalar")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "_frombuffer" for core in ("core", "_core")},
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "ndarray",
    ("_codecs", "encode"): "encode",
    # Older protocols write no bytes at all as a call.
    ("__builtin__", "bytes"): "bytes",
    ("collections", "OrderedDict"): "OrderedDict",
}


class Maker:
    """Carries out the constructors of :data:`FUNCTIONS`.

    Args:
        size: Bytes of the file; what is copied of its text is no more.
        refuse: Returns the error that says what was wrong.
    """

    def __init__(self, size: int, refuse: Callable[[str], PickleRefusedError]) -> None:
        self._size = size
        self._refuse = refuse
        self._copied = 0

    def make(self, named: Name, arguments: tuple[Any, ...]) -> Any:
        """Return what a constructor makes of its arguments.

        Raises:
            PickleRefusedError: If it is not known, or not with such arguments.
        """
        function = FUNCTIONS.get((named.module, named.name))
        if function == "_reconstruct":
            return PassiveArray()
        if function == "scalar" and len(arguments) == 2:
            return self.make_array(arguments[1], arguments[0], (), fortran=False)
        if function == "_frombuffer" and len(arguments) == 4:
            data, dtype, shape, order = arguments
            return self.make_array(data, dtype, shape, fortran=order == "F")
        if function == "dtype" and arguments and type(arguments[0]) is str:
            return Dtype(arguments[0])
        if function == "encode" and len(arguments) == 2 and type(arguments[0]) is str and arguments[1] == "latin1":
            return self._encode(arguments[0])
        if function == "bytes" and not arguments:
            return b""
        if function == "OrderedDict" and not arguments:
            return {}
        raise self._refuse(f"calls {named.module}.{named.name} in an unknown way")

    def _encode(self, text: str) -> bytes:
        # The one step that copies: text kept once could be asked for a million times.
        self._copied += len(text)
        if self._copied > self._size:
            raise self._refuse("copies more than it holds")
        return text.encode("latin-1")

    def make_array(self, data: Any, dtype: Any, shape: Any, *, fortran: bool) -> PassiveArray:
        """Return an array of numbers over the file's bytes.

        Raises:
            PickleRefusedError: If type, shape and bytes do not fit together.
        """
        if type(data) is str:  # Python 2 wrote bytes as text.
            data = self._encode(data)
        if type(dtype) is not Dtype or not _DTYPE.fullmatch(dtype.code):
            raise self._refuse("holds an array of something other than numbers")
        if type(data) not in (bytes, bytearray):
            raise self._refuse("holds an array whose numbers are not bytes")
        if type(shape) is not tuple or len(shape) > _MOST_DIMENSIONS or any(type(s) is not int or s < 0 for s in shape):
            raise self._refuse("holds an array of an impossible shape")
        kind = np.dtype(("<" if dtype.order in "|=" else dtype.order) + dtype.code)
        if math.prod(shape) * kind.itemsize != len(data):
            raise self._refuse(f"holds an array of shape {shape} with {len(data)} bytes")
        return PassiveArray(np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C"))
