"""The nets trained in this project, as restorers (docs/models/)."""

from __future__ import annotations

from celebahq_tools.restore import rednet, srnet
from celebahq_tools.restore.architectures import build_net
from celebahq_tools.restore.base import RestorerRequest
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.network import NetRestorer, find_request_weights, load_state
from celebahq_tools.restore.tiling import TilePlan

# In theory a pixel of the de-JPEG net sees over 100 pixels in every direction. How far a change is felt by more than
# one grey level was measured on photographs (docs/restoration.md), and a margin added.
_DEJPEG_PLAN = TilePlan(rule=rednet.RULE, halo=48, tile=512)
_SR_PLAN = TilePlan(rule=srnet.RULE, halo=24, tile=384)


def build_own(request: RestorerRequest, net_name: str | None = None) -> NetRestorer:
    """Return one of our nets, with the shipped weights or the user's own.

    Args:
        request: Names the weights.
        net_name: Which net they are of; None if the request's name says so.
    Raises:
        ConfigError: If the device is absent or another scale than the net's is asked for.
        WeightsError: If the weights are missing, damaged, or those of another net.
    """
    name = net_name or request.name
    is_sr = name in srnet.VARIANTS
    scale = srnet.SCALE if is_sr else 1
    request.require_scale(scale)
    path = find_request_weights(request)
    net = build_net(name)
    load_state(net, read_checkpoint(path), path)
    plan = _SR_PLAN if is_sr else _DEJPEG_PLAN
    return NetRestorer(net, request=request, scale=scale, plan=plan, finds_grid=not is_sr)
