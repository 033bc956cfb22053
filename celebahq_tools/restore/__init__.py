"""JPEG artifact removal and super-resolution of the part of a photograph that reaches the result.

A new restorer is one line in a registry below and one file with its factory.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from celebahq_tools.errors import ConfigError, WeightsError, suggest
from celebahq_tools.registry import Registry
from celebahq_tools.restore.base import Precision, Restorer, RestorerRequest

Kind: TypeAlias = Literal["dejpeg", "sr"]
Factory: TypeAlias = Callable[[RestorerRequest], Restorer]

DEJPEG: Registry[Factory] = Registry(
    "de-JPEG restorer",
    {
        "none": "celebahq_tools.restore.resample:build_identity",
        "jpeg-resnet": "celebahq_tools.restore.dejpeg:build_jpeg_resnet",
        "rednet-l": "celebahq_tools.restore.own:build_own",
        "rednet-xs": "celebahq_tools.restore.own:build_own",
    },
)
SUPERRES: Registry[Factory] = Registry(
    "super-resolution restorer",
    {
        "none": "celebahq_tools.restore.resample:build_identity",
        "lanczos": "celebahq_tools.restore.resample:build_lanczos",
        "realsr-df2k": "celebahq_tools.restore.superres:build_rrdbnet",
        "x4plus": "celebahq_tools.restore.superres:build_rrdbnet",
        "srres-m": "celebahq_tools.restore.own:build_own",
    },
)
# Cheap enough to be done where they are needed, and without torch.
NETLESS = ("none", "lanczos")
REGISTRIES: dict[Kind, Registry[Factory]] = {"dejpeg": DEJPEG, "sr": SUPERRES}

# Weight files of the user's own: those of our architectures, and with the extra `[spandrel]` many more.
_FILE_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "dejpeg": (".pth", ".pt", ".safetensors"),
    "sr": (".bin", ".pth", ".pt", ".safetensors"),
}


def load_restorer(
    kind: Kind,
    name_or_path: str | Path,
    *,
    device: str = "auto",
    scale: int | None = None,
    precision: Precision = "fp32",
    compile_net: bool = False,
) -> Restorer:
    """Return a restorer by its registered name, or one with the user's own weights.

    Build it in the process that uses it, once: that costs under a second. Importing and building set no global state
    such as thread counts.

    Args:
        kind: ``dejpeg`` or ``sr``.
        name_or_path: A registered name; or a weight file: what ``celebahq restore train`` wrote; for ``dejpeg`` a
            ``.pth``/``.pt``/``.safetensors`` of the residual net, for ``sr`` an ncnn ``.bin`` or a
            ``.pth``/``.pt``/``.safetensors`` of RRDBNet (23 blocks, 4x); with the extra ``[spandrel]`` any that
            spandrel knows. A registered name wins over a file.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:<number>``.
        scale: Scale of the restorers that can choose (``lanczos``: a power of two, default 4); None otherwise.
        precision: Arithmetic of a net: ``fp32``; ``bf16`` and ``fp16`` are for GPUs and move pixels by a grey level.
        compile_net: Whether a net goes through ``torch.compile``.
    Raises:
        ConfigError: If the name, device, scale or precision is wrong.
        WeightsError: If the weights are not installed, damaged, or not those of a net known here.
    """
    registry = REGISTRIES[kind]
    text = str(name_or_path)
    if text in registry:
        request = RestorerRequest(text, device, scale, precision=precision, compile_net=compile_net)
        return registry.load(text)(request)
    path = Path(name_or_path)
    suffixes = _FILE_SUFFIXES[kind]
    if path.suffix not in suffixes and not path.exists() and len(path.parts) == 1:
        raise ConfigError(
            f"unknown {registry.kind} {text!r}{suggest(text, registry)} (or a weight file: {', '.join(suffixes)})"
        )
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; for {kind} give one of {', '.join(registry)} or a file")
    if path.suffix not in suffixes:
        raise WeightsError(f"{path}: weights for {kind} are read from {', '.join(suffixes)} files only")
    # Imported here: listing restorers must not import torch.
    from celebahq_tools.restore.weight_file import build_from_file

    return build_from_file(
        kind, RestorerRequest(path.name, device, scale, weights=path, precision=precision, compile_net=compile_net)
    )
