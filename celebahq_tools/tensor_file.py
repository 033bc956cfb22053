"""Checkpoints and weights: safetensors files with a text header, whole or absent, checksums verified; no pickle."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import StoreError

T = TypeVar("T")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header, to which a checksum of the tensors is added; the file is whole or absent.

    Raises:
        StoreError: If the folder cannot be written or the disk is full.
    """
    ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with write_atomically(path) as temporary:
            save_file(ready, temporary, metadata={**header, "checksum": str(_checksum(ready))})
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path}: cannot write ({error}); free space or choose another folder") from None


@contextmanager
def _open_tensors(path: Path, kind: str, program: str) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield the header and the open file; see :func:`read_tensors`."""
    if not path.is_file():
        raise StoreError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            if header.get("format") != kind:
                raise StoreError(f"{path}: not a checkpoint of `{program}` ({kind})")
            yield header, file
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_header(path: Path, *, kind: str, program: str) -> dict[str, str]:
    """Return the header of a checkpoint without reading its tensors; see :func:`read_tensors`."""
    with _open_tensors(path, kind, program) as (header, _):
        return header


def read_tensors(path: Path, *, kind: str, program: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the header and the tensors of a checkpoint.

    Args:
        path: A file of :func:`write_tensors`.
        kind: What its header has to hold as ``format``.
        program: Whose checkpoints are of that kind, for the message.
    Raises:
        StoreError: If the file is missing, damaged, or of another kind.
    """
    with _open_tensors(path, kind, program) as (header, file):
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    if str(_checksum(tensors)) != header.get("checksum"):
        raise damaged(path, "checksum differs")
    return header, tensors


def damaged(path: Path, reason: object) -> StoreError:
    """Return the error for a checkpoint that cannot be used."""
    return StoreError(f"{path}: damaged checkpoint ({reason}); resume from an older one")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first: their names begin with ``checkpoint-`` and sort by age."""
    return sorted(folder.glob("checkpoint-*.safetensors"))


def read_newest(folder: Path, read: Callable[[Path], T], say: Callable[[str], None]) -> tuple[Path, T] | None:
    """Return the newest readable checkpoint of a run, or None if there are none at all.

    Args:
        folder: The run's checkpoints.
        read: Reads one.
        say: Told about damaged ones that were passed over.
    Raises:
        StoreError: If all of them are damaged.
    """
    last: StoreError | None = None
    for path in reversed(list_checkpoints(folder)):
        try:
            return path, read(path)
        except StoreError as error:
            last = error
            say(f"{error}; trying the one before")
    if last is not None:
        raise last
    return None


def pick(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def pack_state(
    modules: Mapping[str, nn.Module], optimizers: Mapping[str, tuple[torch.optim.Optimizer, nn.Module]]
) -> dict[str, Tensor]:
    """Return weights, buffers and moments by stable names.

    Args:
        modules: By the prefix of their names.
        optimizers: Each with the module whose parameters it moves, by prefix.
    """
    tensors = {
        f"{prefix}{name}": value.detach()
        for prefix, module in modules.items()
        for name, value in module.state_dict().items()
    }
    for prefix, (optimizer, module) in optimizers.items():
        for name, parameter in module.named_parameters():
            for kind, value in optimizer.state.get(parameter, {}).items():
                tensors[f"{prefix}{name}/{kind}"] = value
    return tensors


def unpack_state(
    tensors: Mapping[str, Tensor],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, tuple[torch.optim.Optimizer, nn.Module]],
) -> None:
    """Give modules and optimizers back what :func:`pack_state` returned.

    Raises:
        KeyError: If something is missing.
        RuntimeError: If something has another shape.
    """
    for prefix, module in modules.items():
        module.load_state_dict(pick(tensors, prefix))
    for prefix, (optimizer, module) in optimizers.items():
        optimizer.state.clear()
        parameters = dict(module.named_parameters())
        for key, value in pick(tensors, prefix).items():
            name, _, kind = key.rpartition("/")
            parameter = parameters[name]
            moment = value.to(parameter.device).clone()
            if moment.dim() == parameter.dim():
                # The memory layout decides the order of sums, and with it the last bit.
                moment = torch.empty_like(parameter).copy_(moment)
            optimizer.state[parameter][kind] = moment


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return total
