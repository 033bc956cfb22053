"""InceptionV3 as the Frechet inception distance uses it (the TensorFlow net of 2015-12-05), and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from celebahq_tools.errors import WeightsError
from celebahq_tools.weights import find_weights, list_weights

NUM_FEATURES = 2048
NUM_CLASSES = 1008
_NAME = "inception-fid"

# Output channels, kernel and stride of a convolution; "avg", "max" and "max2" are the pools of the blocks.
_Unit: TypeAlias = tuple[str, int, tuple[int, int], int]
_Path: TypeAlias = tuple["_Unit | str | tuple[_Unit, ...]", ...]


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalisation without gain (eps 0.001), ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1, *, pad: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if pad and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, h, w)."""
        return F.relu(self.bn(self.conv(x)))


class MixedBlock(nn.Module):
    """Parallel paths over one input, concatenated; a tuple inside a path splits it once more.

    The units carry the names most published weight files use, so that such files load as they are.
    """

    def __init__(self, inputs: int, paths: tuple[_Path, ...]) -> None:
        super().__init__()
        self.paths = paths
        self.outputs = 0
        for path in paths:
            channels = inputs
            for step in path:
                if isinstance(step, str):
                    continue
                units = (step,) if isinstance(step[0], str) else step
                for name, outputs, kernel, stride in units:
                    self.add_module(name, ConvUnit(channels, outputs, kernel, stride))
                channels = sum(unit[1] for unit in units)
            self.outputs += channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, h, w)."""
        return torch.cat([self._follow(x, path) for path in self.paths], dim=1)

    def _follow(self, x: Tensor, path: _Path) -> Tensor:
        for step in path:
            if isinstance(step, str):
                x = _pool(x, step)
            elif isinstance(step[0], str):
                x = self.get_submodule(step[0])(x)
            else:
                x = torch.cat([self.get_submodule(str(unit[0]))(x) for unit in step], dim=1)
        return x


class InceptionV3(nn.Module):
    """The net from pixels to 2048 features and, with its last layer, 1008 logits.

    Differs from the InceptionV3 of torchvision: averages do not count the padding, and the last block pools by maximum.
    """

    def __init__(self, *, logits: bool) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvUnit(3, 32, (3, 3), 2)
        self.Conv2d_2a_3x3 = ConvUnit(32, 32, (3, 3), pad=False)
        self.Conv2d_2b_3x3 = ConvUnit(32, 64, (3, 3))
        self.Conv2d_3b_1x1 = ConvUnit(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = ConvUnit(80, 192, (3, 3), pad=False)
        blocks = {
            "Mixed_5b": _block_a(32),
            "Mixed_5c": _block_a(64),
            "Mixed_5d": _block_a(64),
            "Mixed_6a": _block_b(),
            "Mixed_6b": _block_c(128),
            "Mixed_6c": _block_c(160),
            "Mixed_6d": _block_c(160),
            "Mixed_6e": _block_c(192),
            "Mixed_7a": _block_d(),
            "Mixed_7b": _block_e("avg"),
            "Mixed_7c": _block_e("max"),
        }
        channels = 192
        self._blocks = tuple(blocks)
        for name, paths in blocks.items():
            block = MixedBlock(channels, paths)
            self.add_module(name, block)
            channels = block.outputs
        self.fc = nn.Linear(NUM_FEATURES, NUM_CLASSES) if logits else None

    def forward(self, x: Tensor) -> Tensor:
        """Return pool3 features.

        Args:
            x: (N, 3, 299, 299), ``(rgb - 128) / 128`` of pixels in 0..255.
        Returns:
            (N, 2048).
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(_pool(x, "max2")))
        x = _pool(x, "max2")
        for name in self._blocks:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))

    def classify(self, features: Tensor) -> Tensor:
        """Return logits (N, 1008) without the bias, as the Inception Score was defined (Salimans et al. 2016).

        Raises:
            WeightsError: If the weights loaded have no last layer.
        """
        if self.fc is None:
            raise WeightsError(LOGITS_HELP)
        return F.linear(features, self.fc.weight)


LOGITS_HELP = (
    "the Inception Score needs InceptionV3 weights with their last layer (logits), which no installable package holds; "
    "pass --inception-weights FILE with a safetensors file or torch state dict of the 2015-12-05 net that has "
    "fc.weight (1008, 2048), such as pt_inception-2015-12-05-6726825d.pth of the pytorch-fid project"
)


def load_inception(path: Path | None = None) -> InceptionV3:
    """Return the net with its weights, in evaluation mode.

    Args:
        path: The user's own weight file; without it the features of the installed package are used, and no logits.
    Raises:
        WeightsError: If nothing is installed, or the file is not of this net.
    """
    net = InceptionV3(logits=path is not None)
    state = _read_script() if path is None else _read_user_file(path)
    expected = net.state_dict()
    missing = sorted(set(expected) - set(state))
    if missing:
        raise WeightsError(
            f"{path}: not weights of the 2015-12-05 InceptionV3: lacks {missing[0]} ({len(missing)} in all)"
        )
    for name, value in expected.items():
        if state[name].shape != value.shape:
            raise WeightsError(
                f"{path}: {name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}; "
                f"torchvision's own InceptionV3 (1000 classes) is another net"
            )
    net.load_state_dict({name: state[name] for name in expected})
    return net.eval().requires_grad_(False)


def _read_script() -> dict[str, Tensor]:
    """Return the parameters of the packaged TorchScript net under our names: both list convolutions in one order."""
    path = find_weights(_NAME)
    script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    values = list(script.parameters())
    units = [name for name, module in InceptionV3(logits=False).named_modules() if isinstance(module, ConvUnit)]
    if len(values) != 4 * len(units):
        raise WeightsError(f"{path}: {len(values)} parameters, expected {4 * len(units)}")
    state: dict[str, Tensor] = {}
    for index, name in enumerate(units):
        weight, beta, mean, variance = (value.detach() for value in values[4 * index : 4 * index + 4])
        state |= {
            f"{name}.conv.weight": weight,
            f"{name}.bn.weight": torch.ones_like(beta),
            f"{name}.bn.bias": beta,
            f"{name}.bn.running_mean": mean,
            f"{name}.bn.running_var": variance,
            f"{name}.bn.num_batches_tracked": torch.tensor(0),
        }
    return state


def _read_user_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; {LOGITS_HELP}")
    try:
        if path.suffix == ".safetensors":
            loaded: object = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # On a foreign file torch's unpickler fails with whatever it stumbles over: IndexError, KeyError, ...
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{path}: not a readable weights file ({reason})") from None
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise WeightsError(f"{path}: holds {type(loaded).__name__}, expected a state dict of tensors")
    state = dict(loaded)
    for name in loaded:
        if name.endswith("bn.bias"):
            state[name.removesuffix("bias") + "num_batches_tracked"] = torch.tensor(0)
    return state


def describe_weights() -> str:
    """Return where the weights come from, for reports."""
    entry = list_weights()[_NAME]
    return f"{entry.title}; {entry.package} {entry.version}"


def _pool(x: Tensor, kind: str) -> Tensor:
    if kind == "avg":
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    if kind == "max":
        return F.max_pool2d(x, 3, stride=1, padding=1)
    return F.max_pool2d(x, 3, stride=2)


def _unit(name: str, outputs: int, height: int, width: int | None = None, stride: int = 1) -> _Unit:
    return f"branch{name}", outputs, (height, width or height), stride


def _block_a(pooled: int) -> tuple[_Path, ...]:
    return (
        (_unit("1x1", 64, 1),),
        (_unit("5x5_1", 48, 1), _unit("5x5_2", 64, 5)),
        (_unit("3x3dbl_1", 64, 1), _unit("3x3dbl_2", 96, 3), _unit("3x3dbl_3", 96, 3)),
        ("avg", _unit("_pool", pooled, 1)),
    )


def _block_b() -> tuple[_Path, ...]:
    double = (_unit("3x3dbl_1", 64, 1), _unit("3x3dbl_2", 96, 3), _unit("3x3dbl_3", 96, 3, stride=2))
    return (_unit("3x3", 384, 3, stride=2),), double, ("max2",)


def _block_c(width: int) -> tuple[_Path, ...]:
    return (
        (_unit("1x1", 192, 1),),
        (_unit("7x7_1", width, 1), _unit("7x7_2", width, 1, 7), _unit("7x7_3", 192, 7, 1)),
        (
            _unit("7x7dbl_1", width, 1),
            _unit("7x7dbl_2", width, 7, 1),
            _unit("7x7dbl_3", width, 1, 7),
            _unit("7x7dbl_4", width, 7, 1),
            _unit("7x7dbl_5", 192, 1, 7),
        ),
        ("avg", _unit("_pool", 192, 1)),
    )


def _block_d() -> tuple[_Path, ...]:
    long = (_unit("7x7x3_1", 192, 1), _unit("7x7x3_2", 192, 1, 7), _unit("7x7x3_3", 192, 7, 1))
    return (
        (_unit("3x3_1", 192, 1), _unit("3x3_2", 320, 3, stride=2)),
        (*long, _unit("7x7x3_4", 192, 3, stride=2)),
        ("max2",),
    )


def _block_e(pool: str) -> tuple[_Path, ...]:
    return (
        (_unit("1x1", 320, 1),),
        (_unit("3x3_1", 384, 1), (_unit("3x3_2a", 384, 1, 3), _unit("3x3_2b", 384, 3, 1))),
        (
            _unit("3x3dbl_1", 448, 1),
            _unit("3x3dbl_2", 384, 3),
            (_unit("3x3dbl_3a", 384, 1, 3), _unit("3x3dbl_3b", 384, 3, 1)),
        ),
        (pool, _unit("_pool", 192, 1)),
    )
