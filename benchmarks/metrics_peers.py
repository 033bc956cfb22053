"""Run independent programs on an .npz of inputs and print what they give as JSON.

Runs in an environment of its own, with pytorch-msssim, pytorch-fid, torch-fidelity and prdc installed without their
dependencies. Some of them import torchvision, which the functions compared do not use: those are taken out of the
installed files by name.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np


def extract(package: str, file: str, names: set[str], scope: dict[str, Any]) -> dict[str, Any]:
    """Return functions of an installed file, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{package} is not installed")
    path = Path(spec.submodule_search_locations[0]) / file
    body = [
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    exec(compile(ast.Module(body=body, type_ignores=[]), str(path), "exec"), scope)  # the peer's own code
    return scope


def timed(function: Any, rounds: int) -> tuple[Any, float]:
    """Return the result and the median CPU seconds."""
    result, seconds = None, []
    for _ in range(rounds):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, float(np.median(seconds))


def main(part: str, path: str, rounds: int) -> dict[str, Any]:
    """Return values and CPU seconds of one part."""
    data = np.load(path)
    if part == "ms-ssim":
        import torch
        from pytorch_msssim import ms_ssim

        torch.set_num_threads(1)
        x, y = (torch.from_numpy(data[name]).float() for name in ("a", "b"))

        def run() -> list[float]:
            with torch.no_grad():
                return [float(ms_ssim(i[None], j[None], data_range=255)) for i, j in zip(x, y, strict=True)]

        values, seconds = timed(run, rounds)
        return {"values": values, "seconds": seconds}
    if part == "fid":
        from scipy import linalg

        scope = extract("pytorch_fid", "fid_score.py", {"calculate_frechet_distance"}, {"np": np, "linalg": linalg})
        linalg.sqrtm = _accept_disp(linalg.sqrtm)
        arguments = [data[name] for name in ("mean_a", "cov_a", "mean_b", "cov_b")]
        values, seconds = timed(lambda: float(scope["calculate_frechet_distance"](*arguments)), rounds)
        return {"values": values, "seconds": seconds}
    if part == "kid":
        scope: dict[str, Any] = {"np": np, "get_kwarg": lambda name, given: given[name], "vassert": lambda *_: None}
        extract("torch_fidelity", "metric_kid.py", {"kernel_mmd", "kernel_poly", "kernel_rbf", "mmd2"}, scope)
        usual = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
        a, b = (data[name].astype(np.float64) for name in "ab")
        return {"values": float(scope["kernel_mmd"](a, b, **usual, kid_kernel_poly_coef0=1.0))}
    from prdc import compute_prdc

    found = compute_prdc(data["a"], data["b"], 5)
    return {"values": {name: float(value) for name, value in found.items()}}


def _accept_disp(sqrtm: Any) -> Any:
    """Return sqrtm that still takes ``disp=False``, which pytorch-fid passes and new scipy dropped."""

    def call(matrix: Any, disp: bool = True) -> Any:
        root = sqrtm(matrix)
        return root if disp else (root, 0.0)

    return call


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
