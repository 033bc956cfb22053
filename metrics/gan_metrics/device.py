"""Find the torch device that the user named."""

from __future__ import annotations

import torch

from celebahq_tools.errors import ConfigError


def find_device(name: str) -> torch.device:
    """Return a device that works.

    Raises:
        ConfigError: If torch does not know it, or was built without it, or the machine lacks it.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"--device {name}: {str(error).splitlines()[0]}; cpu always works") from None
    return device
