"""Choosing a restorer by name or file, and what is said when that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from celebahq_tools.errors import ConfigError, WeightsError
from celebahq_tools.restore import load_restorer
from celebahq_tools.restore.base import SizeRule
from celebahq_tools.restore.checkpoint import read_checkpoint
from celebahq_tools.restore.dejpeg import JpegResNet
from celebahq_tools.restore.network import load_state, resolve_device
from celebahq_tools.weights import find_weights


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch pwned",)


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown super-resolution restorer 'realsr'; did you mean 'realsr-df2k'\?"):
        load_restorer("sr", "realsr")


def test_a_path_that_does_not_exist_is_called_missing(tmp_path: Path) -> None:
    names = "none, jpeg-resnet, rednet-l, rednet-xs"
    with pytest.raises(WeightsError, match=f"no such weights file; for dejpeg give one of {names} or a file"):
        load_restorer("dejpeg", tmp_path / "absent.pth")


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    with pytest.raises(
        WeightsError, match=r"weights for sr are read from \.bin, \.pth, \.pt, \.safetensors files only"
    ):
        load_restorer("sr", path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 broken zip"])
def test_a_damaged_checkpoint_is_refused_without_a_traceback(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=str(path)):
        load_restorer("dejpeg", path, device="cpu")


@pytest.mark.weights
@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999])
def test_a_truncated_copy_of_real_weights_is_refused(tmp_path: Path, keep: float) -> None:
    for kind, name in (("dejpeg", "jpeg-resnet"), ("sr", "realsr-df2k")):
        source = find_weights(name)
        data = source.read_bytes()
        path = tmp_path / f"cut{source.suffix}"
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(WeightsError, match=str(path)):
            load_restorer(kind, path, device="cpu")  # type: ignore[arg-type]


@pytest.mark.weights
def test_the_weights_of_another_net_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not the weights of a RRDBNet"):
        load_restorer("sr", find_weights("jpeg-resnet"), device="cpu")
    foreign = tmp_path / "foreign.bin"
    foreign.write_bytes(find_weights("jpeg-resnet").read_bytes())
    with pytest.raises(WeightsError, match="convolution 0 at byte 0 has the tag"):
        load_restorer("sr", foreign, device="cpu")


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="only files that load without running code are accepted"):
        read_checkpoint(tmp_path / "evil.pth")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("wrapper", [None, "params", "params_ema", "state_dict"])
def test_wrapped_checkpoints_are_unwrapped(tmp_path: Path, wrapper: str | None) -> None:
    state = JpegResNet().state_dict()
    torch.save({wrapper: state} if wrapper else state, tmp_path / "net.pth")
    found = read_checkpoint(tmp_path / "net.pth")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="holds no mapping of names to tensors"):
        read_checkpoint(tmp_path / "net.pth")


def test_missing_misshapen_and_infinite_tensors_are_named(tmp_path: Path) -> None:
    net = JpegResNet()
    state = net.state_dict()
    path = tmp_path / "net.pth"
    with pytest.raises(WeightsError, match=r"1 of 42 tensors differ, first 'tail\.0\.bias' with shape missing"):
        load_state(net, {name: value for name, value in state.items() if name != "tail.0.bias"}, path)
    with pytest.raises(WeightsError, match=r"'extra' with shape \(2,\) instead of none"):
        load_state(net, state | {"extra": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="not finite"):
        load_state(net, state | {"tail.0.bias": torch.full((12,), torch.inf)}, path)


def test_cuda_is_refused_clearly_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    assert resolve_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"device 'cuda': torch .* sees 0 CUDA devices here; use --device cpu"):
        resolve_device("cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:0", "auto:1", ""])
def test_an_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match="use auto, cpu, cuda or cuda:<number>"):
        resolve_device(device)


def test_size_rules_are_checked() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        SizeRule(multiple_of=0)


def test_listing_restorers_imports_no_torch() -> None:
    code = "import sys, celebahq_tools.restore as r; print([*r.SUPERRES, *r.DEJPEG], 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("False")
