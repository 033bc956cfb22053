"""JPEG artifact removal and super-resolution of the part of a photograph that reaches the result.

A new restorer is one line in a registry below and one file with its factory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from celebahq_tools.errors import ConfigError, WeightsError, suggest
from celebahq_tools.registry import Registry
from celebahq_tools.restore.base import Restorer, RestorerRequest

Kind: TypeAlias = Literal["dejpeg", "sr"]
Factory: TypeAlias = Callable[[RestorerRequest], Restorer]

DEJPEG: Registry[Factory] = Registry(
    "de-JPEG restorer",
    {
        "none": "celebahq_tools.restore.resample:build_identity",
        "jpeg-resnet": "celebahq_tools.restore.dejpeg:build_jpeg_resnet",
    },
)
SUPERRES: Registry[Factory] = Registry(
    "super-resolution restorer",
    {
        "none": "celebahq_tools.restore.resample:build_identity",
        "lanczos": "celebahq_tools.restore.resample:build_lanczos",
        "realsr-df2k": "celebahq_tools.restore.superres:build_rrdbnet",
        "x4plus": "celebahq_tools.restore.superres:build_rrdbnet",
    },
)
REGISTRIES: dict[Kind, Registry[Factory]] = {"dejpeg": DEJPEG, "sr": SUPERRES}

# The net that a weight file of the user's own is tried with, by kind and suffix.
_FILE_TARGETS: dict[Kind, dict[str, str]] = {
    "dejpeg": dict.fromkeys((".pth", ".pt", ".safetensors"), "jpeg-resnet"),
    "sr": dict.fromkeys((".bin", ".pth", ".pt", ".safetensors"), "realsr-df2k"),
}


def load_restorer(kind: Kind, name_or_path: str | Path, *, device: str = "auto", scale: int | None = None) -> Restorer:
    """Return a restorer by its registered name, or one with the user's own weights.

    Build it in the process that uses it, once: that costs under a second. Importing and building set no global state
    such as thread counts.

    Args:
        kind: ``dejpeg`` or ``sr``.
        name_or_path: A registered name; or a weight file of one of our architectures: for ``dejpeg`` a
            ``.pth``/``.pt``/``.safetensors`` of the residual net, for ``sr`` an ncnn ``.bin`` or a
            ``.pth``/``.pt``/``.safetensors`` of RRDBNet (23 blocks, 4x). A registered name wins over a file.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:<number>``.
        scale: Scale of the restorers that can choose (``lanczos``: a power of two, default 4); None otherwise.
    Raises:
        ConfigError: If the name, device or scale is wrong.
        WeightsError: If the weights are not installed, damaged, or not those of a net known here.
    """
    registry = REGISTRIES[kind]
    text = str(name_or_path)
    if text in registry:
        return registry.load(text)(RestorerRequest(text, device, scale))
    path = Path(name_or_path)
    targets = _FILE_TARGETS[kind]
    if path.suffix not in targets and not path.exists() and len(path.parts) == 1:
        raise ConfigError(
            f"unknown {registry.kind} {text!r}{suggest(text, registry)} (or a weight file: {', '.join(targets)})"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; for {kind} give one of {', '.join(registry)} or a file")
    if path.suffix not in targets:
        raise WeightsError(f"{path}: weights for {kind} are read from {', '.join(targets)} files only")
    return registry.load(targets[path.suffix])(RestorerRequest(path.name, device, scale, weights=path))
