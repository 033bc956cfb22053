"""Restorers from weight files of the user's own: finds out what net a file belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from celebahq_tools.errors import ConfigError, WeightsError
from celebahq_tools.restore.architectures import NAMES
from celebahq_tools.restore.base import Restorer, RestorerRequest
from celebahq_tools.restore.dejpeg import build_jpeg_resnet
from celebahq_tools.restore.own import build_own
from celebahq_tools.restore.superres import build_rrdbnet

if TYPE_CHECKING:
    from celebahq_tools.restore import Kind


def build_from_file(kind: Kind, request: RestorerRequest) -> Restorer:
    """Return a restorer with the weights of a file.

    A file that names one of our nets is that net. Any other is tried with the net that this kind of weights is usually
    of, and handed to spandrel if it is not.

    Args:
        kind: What the restorer is for.
        request: Its weights are the file.
    Raises:
        ConfigError: If the net's scale does not suit the kind.
        WeightsError: If nobody knows the net.
    """
    path = request.weights
    if path is None:
        raise WeightsError(f"{kind}: name a weight file, or a net by its name")
    name = read_net_name(path)
    if name is not None:
        restorer: Restorer = build_own(request, name)
    else:
        build = build_jpeg_resnet if kind == "dejpeg" else build_rrdbnet
        try:
            return build(request)
        except WeightsError as error:
            if "not the weights of" not in str(error):
                raise
            from celebahq_tools.restore.spandrel_adapter import build_spandrel

            restorer = build_spandrel(request, str(error))
    if kind == "dejpeg" and restorer.scale != 1:
        raise ConfigError(f"{path}: enlarges {restorer.scale} times, so it is no JPEG artifact removal; use --sr")
    if kind == "sr" and restorer.scale == 1:
        raise ConfigError(f"{path}: does not enlarge, so it is no super-resolution; use --dejpeg")
    return restorer


def read_net_name(path: Path) -> str | None:
    """Return the name of our net that a weight file says it is of, or None."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            name = (file.metadata() or {}).get("net")
    except (SafetensorError, OSError):
        return None
    return name if name in NAMES else None
