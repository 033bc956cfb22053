"""Weight files of architectures that only spandrel knows: an optional extra, imported when such a file is given."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from celebahq_tools.errors import WeightsError
from celebahq_tools.restore.base import RestorerRequest, SizeRule
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.network import NetRestorer
from celebahq_tools.restore.tiling import TilePlan

# Nothing is known of how far such a net sees.
_HALO = 32
_TILE = 256


class SpandrelNet(nn.Module):
    """A net that spandrel built, called through its descriptor, which knows how.

    Args:
        descriptor: spandrel's description of the net.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.net = descriptor.model
        self._descriptor = [descriptor]  # in a list: a descriptor is no module, but must not be taken for one

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return RGB in [0, 1], (N, 3, H * scale, W * scale), for RGB in [0, 1], (N, 3, H, W)."""
        descriptor = self._descriptor[0]
        # Descriptors take one image at a time.
        return torch.cat([cast(torch.Tensor, descriptor(image[None])) for image in x])


def build_spandrel(request: RestorerRequest, otherwise: str) -> NetRestorer:
    """Return a restorer with a net that spandrel recognizes in the weights.

    The file is read by this package's own reader, which runs no code from it; spandrel only sees tensors.

    Args:
        request: Its weights are the file.
        otherwise: Why the file is none of ours; what to say if spandrel is not there or does not know it either.
    Raises:
        ConfigError: If the device is absent or another scale than the net's is asked for.
        WeightsError: If spandrel is not installed, cannot be imported, or does not know the net.
    """
    path = request.weights
    if path is None:
        raise WeightsError("spandrel: name a weight file; without one there is nothing to recognize")
    try:
        import spandrel
    except ImportError:
        raise WeightsError(
            f"{otherwise}; for other architectures run: pip install 'celebahq-tools[spandrel]'"
        ) from None
    except RuntimeError as error:
        # torchvision and torch of different builds: its operators do not register.
        reason = str(error).splitlines()[0]
        raise WeightsError(
            f"{otherwise}; spandrel could read other architectures but fails to load ({reason}); "
            "install a torchvision that fits this torch"
        ) from None
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(
            spandrel.canonicalize_state_dict(read_checkpoint(path))
        )
    except spandrel.UnsupportedModelError:
        raise WeightsError(f"{otherwise}; spandrel {spandrel.__version__} does not know it either") from None
    name = descriptor.architecture.name
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise WeightsError(f"{path}: {name} takes more than an image, which no restorer here gives it")
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        raise WeightsError(f"{path}: {name} with {descriptor.input_channels} colours in, not RGB to RGB")
    request.require_scale(descriptor.scale)
    needs = descriptor.size_requirements
    rule = SizeRule(multiple_of=needs.multiple_of, minimum=max(needs.minimum, 1))
    return NetRestorer(
        SpandrelNet(descriptor),
        request=request,
        scale=descriptor.scale,
        plan=TilePlan(rule, _HALO, rule.fit(_TILE)),
        licence=f"unknown (a file of the user's own; {name}, read by spandrel)",
    )
