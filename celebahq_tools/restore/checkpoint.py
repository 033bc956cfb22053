"""Reads named tensors from torch and safetensors files without running code from them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from celebahq_tools.errors import WeightsError

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")

# Training programs wrap the tensors; averaged weights come first because they are the ones to use.
_WRAPPERS = ("params_ema", "params", "state_dict")


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a weight file by name, on the CPU, as float32.

    Args:
        path: A safetensors file, or one that ``torch.save`` wrote from a flat mapping of tensors or from one wrapped
            under ``params_ema``, ``params`` or ``state_dict``.
    Raises:
        WeightsError: If the file cannot be read, is damaged, or holds anything but tensors (which includes any
            pickle that would run code).
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                content: object = load_file(path, device="cpu")
            except SafetensorError as error:
                raise WeightsError(f"{path}: not a complete safetensors file: {error}") from None
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot read the weights: {error.strerror or error}") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError) as error:
        # torch reports damage by any of these; its first line says what, the others advise to trust the file.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{path}: not a checkpoint of plain tensors, or damaged: {reason}; "
            "only files that load without running code are accepted"
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"{path}: holds no mapping of names to tensors; save the net's state_dict() instead")
    return {str(name): value.float() for name, value in content.items()}
