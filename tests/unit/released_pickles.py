"""Pickles in the form of the released TensorFlow program, made from the golden weights."""

import io
import pickle
import sys
import types
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np

NETS = Path(__file__).parents[1] / "golden" / "nets"
SETTINGS = {
    "num_channels": 3,
    "resolution": 16,
    "label_size": 3,
    "fmap_base": 128,
    "fmap_max": 32,
    "latent_size": 32,
    "dtype": "float32",
}


def load_golden():
    stored = {}
    for path in sorted(NETS.glob("r16_*.npz")):
        with np.load(path) as part:
            stored.update(part)
    return stored


@contextmanager
def foreign_class(module="tfutil"):
    """Yield a class ``module.Network`` that pickles as the program's own did."""

    class Network:
        def __init__(self, state):
            self.state = state

        def __getstate__(self):
            return self.state

    Network.__module__, Network.__qualname__ = module, "Network"
    made = []
    for end in range(len(module.split("."))):
        name = ".".join(module.split(".")[: end + 1])
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            made.append(name)
    sys.modules[module].Network = Network
    try:
        yield Network
    finally:
        for name in made:
            del sys.modules[name]


class OldNumpyPickler(pickle._Pickler):
    """Names numpy's functions as numpy 1 did, under ``numpy.core``."""

    def save_global(self, obj, name=None):
        module = getattr(obj, "__module__", "") or ""
        if not module.startswith("numpy._core"):
            super().save_global(obj, name)
        elif self.proto >= 4:
            self.save(module.replace("_core", "core"))
            self.save(obj.__name__)
            self.write(pickle.STACK_GLOBAL)
            self.memoize(obj)
        else:
            self.write(f"c{module.replace('_core', 'core')}\n{obj.__name__}\n".encode())
            self.memoize(obj)

    dispatch: ClassVar = {**pickle._Pickler.dispatch}


# Functions are dispatched by type before save_global would be asked.
OldNumpyPickler.dispatch[types.FunctionType] = OldNumpyPickler.save_global
OldNumpyPickler.dispatch[types.BuiltinFunctionType] = OldNumpyPickler.save_global


def make_state(golden, letter, *, lod=0.0, settings=SETTINGS, name="Gs"):
    prefix = f"var/{letter}/"
    variables = [
        (key.removeprefix(prefix), value.astype(np.float32)) for key, value in golden.items() if key.startswith(prefix)
    ]
    variables = [(key, np.float32(lod) if key == "lod" else value) for key, value in variables]
    return {
        "version": 2,
        "name": name,
        "static_kwargs": dict(settings),
        "build_module_src": "import os\nos.system('false')  # as any source would be: never looked at\n",
        "build_func_name": f"{letter}_paper",
        "variables": variables,
    }


def dump_networks(states, *, protocol=4, module="tfutil", old=True, bare=False):
    """Return the bytes of a pickled tuple of networks, or of the only one."""
    stream = io.BytesIO()
    with foreign_class(module) as network:
        objects = tuple(network(state) for state in states)
        pickler = OldNumpyPickler if old else pickle.Pickler
        pickler(stream, protocol).dump(objects[0] if bare else objects)
    return stream.getvalue()
