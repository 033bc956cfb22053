"""Our own nets by name, for the trainer, for the registered restorers and for weight files that name their net."""

from __future__ import annotations

from torch import nn

from celebahq_tools.errors import ConfigError, suggest
from celebahq_tools.restore import rednet, srnet

NAMES = (*rednet.VARIANTS, *srnet.VARIANTS)


def build_net(name: str) -> nn.Module:
    """Return a net with random weights.

    Args:
        name: One of :data:`NAMES`.
    Raises:
        ConfigError: If there is no such net.
    """
    if name in rednet.VARIANTS:
        return rednet.RedNet(rednet.VARIANTS[name])
    if name in srnet.VARIANTS:
        return srnet.SrNet(srnet.VARIANTS[name])
    raise ConfigError(f"unknown net {name!r}{suggest(name, NAMES)}")
