"""Turns a torch module that maps RGB in [0, 1] to RGB in [0, 1] into a restorer of uint8 images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from celebahq_tools.errors import ConfigError, WeightsError
from celebahq_tools.restore.base import Precision, RestorerRequest
from celebahq_tools.restore.tiled import NetFacts, TiledRestorer
from celebahq_tools.restore.tiling import TilePlan
from celebahq_tools.types import Pixels
from celebahq_tools.weights import find_weights, list_weights

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_GPU_BATCH = 8


class NetRestorer(TiledRestorer):
    """A net run in tiles on one device.

    Deterministic on one machine; on another, float32 sums in another order may move a value by one grey level. The
    number of CPU threads is the caller's business (``torch.set_num_threads``) and does not change the result by more.

    Args:
        net: Maps float32 (N, 3, H, W) RGB in [0, 1] to (N, 3, H * scale, W * scale), not necessarily clipped.
        request: What the net was built for: its name, device and, if they are the user's own, its weights.
        scale: Output pixels per input pixel along each axis.
        plan: Tile size, halo and accepted sizes.
        licence: Of the weights, if the request does not tell.
        finds_grid: Whether the image is moved so that its JPEG grid starts where the net expects it, at the top left.

    Raises:
        ConfigError: If the device does not exist.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        request: RestorerRequest,
        scale: int,
        plan: TilePlan,
        licence: str | None = None,
        finds_grid: bool = False,
    ) -> None:
        self.device = resolve_device(request.device)
        # One tile at a time keeps memory down; a GPU needs more to be busy.
        batch = _GPU_BATCH if self.device.type == "cuda" else 1
        super().__init__(
            NetFacts(request.name, scale, licence or _find_licence(request), plan, finds_grid), batch=batch
        )
        # Channels last, weights and images alike, is what the CPU's convolution kernels want: a fifth less time.
        self.net = net.to(self.device).eval().requires_grad_(False)
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # absent from torch's stubs
        self.precision = _DTYPES[request.precision]
        self._forward: Callable[[torch.Tensor], torch.Tensor] = self.net
        if request.compile_net:
            self._forward = torch.compile(self.net, dynamic=True)

    @torch.inference_mode()
    def run_tile(self, pixels: Pixels) -> Pixels:
        """Return the net's output for one image, or for a stack, that fits the plan's size rule, without tiling."""
        stack = torch.from_numpy(np.array(pixels)).to(self.device)
        stack = stack if stack.dim() == 4 else stack[None]
        batch = stack.permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision is not torch.float32):
            restored = self._forward(batch)
        levels = restored.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)
        result: Pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return result if pixels.ndim == 4 else result[0]


def resolve_device(device: str) -> torch.device:
    """Return the device to compute on; ``auto`` is a CUDA device where there is one, else the CPU.

    Raises:
        ConfigError: If the name is unknown, or CUDA is asked for and absent.
    """
    kind, _, index = device.partition(":")
    if kind == "auto" and not index:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind != "cuda" or (index and not index.isdecimal()):
        raise ConfigError(f"unknown device {device!r}; use auto, cpu, cuda or cuda:<number>")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= found:
        raise ConfigError(
            f"device {device!r}: torch {torch.__version__} sees {found} CUDA devices here; "
            "use --device cpu, or install a CUDA build of torch and its driver"
        )
    return torch.device(device)


def find_request_weights(request: RestorerRequest) -> Path:
    """Return the weight file of a request: the user's own as it is, or the registered one, checked by its sha256.

    Raises:
        WeightsError: If the registered weights are not installed or damaged.
    """
    return request.weights or find_weights(request.name)


def load_state(net: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Fill a net with weights, all of them and of exactly its own shapes.

    Args:
        net: The net to fill.
        state: Tensors by parameter name.
        path: The file they come from, for messages.
    Raises:
        WeightsError: If a tensor is missing, left over, of another shape, or not finite.
    """
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        first = wrong[0]
        raise WeightsError(
            f"{path}: not the weights of a {type(net).__name__}: {len(wrong)} of {len(expected)} tensors differ, first "
            f"{first!r} with shape {found.get(first, 'missing')} instead of {expected.get(first, 'none')}"
        )
    if not all(bool(torch.isfinite(value).all()) for value in state.values()):
        raise WeightsError(f"{path}: holds numbers that are not finite; the file is damaged")
    net.load_state_dict(state)


def _find_licence(request: RestorerRequest) -> str:
    return "unknown (a file of the user's own)" if request.weights else list_weights()[request.name].licence
