"""An earlier score read from its JSON report, and what changed since, and whether that is more than noise."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from celebahq_tools.errors import InputError
from gan_metrics.base import MetricResult

# Two standard errors: about one change in twenty looks larger by chance.
_NOISE = 2.0
_HIGHER_IS_BETTER = ("is", "precision", "recall", "density", "coverage", "modes")
_LOWER_IS_BETTER = ("SWDx1e3", "fid", "kid", "kl")


@dataclass(frozen=True)
class EarlierScore:
    """A report of `swd score --json`.

    Attributes:
        path: The file.
        reals, fakes: What was read, one line each.
        seed: Source of randomness; None if the report does not say.
        metrics: By name, as in the report.
    """

    path: Path
    reals: str
    fakes: str
    seed: int | None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """One value then and now.

    Attributes:
        metric, name: Of the metric and the value.
        before, now: The value in each report.
        error: Standard error of the difference over other images; None if not known for both.
        verdict: ``better`` or ``worse``, if more than the noise; ``within the noise``; or that the noise is not known.
    """

    metric: str
    name: str
    before: float
    now: float
    error: float | None
    verdict: str


def read_earlier(path: Path) -> EarlierScore:
    """Return an earlier report.

    Raises:
        InputError: If the file cannot be read or is no report of `swd score --json`.
    """
    remedy = "pass a file that `swd score --json` wrote"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the earlier score ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise InputError(f"{path}: not a score report ({error}); {remedy}") from None
    metrics = report.get("metrics") if isinstance(report, dict) else None
    if not isinstance(metrics, dict) or not all(
        isinstance(found, dict) and isinstance(found.get("values"), dict) for found in metrics.values()
    ):
        raise InputError(f"{path}: not a score report (no metrics with values); {remedy}")
    seed = report.get("seed")
    return EarlierScore(
        path,
        str(report.get("reals", "?")),
        str(report.get("fakes", "?")),
        seed if isinstance(seed, int) else None,
        metrics,
    )


def list_changes(results: Sequence[MetricResult], earlier: EarlierScore) -> list[Change]:
    """Return what changed of every value that both reports have, in the order of the new one."""
    changes = []
    for result in results:
        found = earlier.metrics.get(result.metric, {})
        errors = found.get("errors") if isinstance(found.get("errors"), dict) else {}
        for name, now in result.values.items():
            before = found.get("values", {}).get(name)
            if _is_number(before) and math.isfinite(now):
                error = _combine(_total_error(name, result.errors), _total_error(name, errors or {}))
                verdict = _judge(name, now - before, error)
                changes.append(Change(result.metric, name, float(before), float(now), error, verdict))
    return changes


def list_differences(results: Sequence[MetricResult], earlier: EarlierScore, *, reals: str, seed: int) -> list[str]:
    """Return sentences on what makes two reports hard to compare."""
    said = []
    if earlier.reals != reals:
        said.append(f"The reals differ: then {earlier.reals}, now {reals}.")
    if earlier.seed is not None and earlier.seed != seed:
        said.append(f"The seeds differ: then {earlier.seed}, now {seed}; SWD draws other directions and places.")
    for result in results:
        count = earlier.metrics.get(result.metric, {}).get("num_images")
        if _is_number(count) and count != result.num_images:
            said.append(
                f"{result.metric}: then of {count} images, now of {result.num_images}; the number decides the value."
            )
        if result.metric not in earlier.metrics:
            said.append(f"{result.metric} was not in the earlier report.")
    return said


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _total_error(name: str, errors: Mapping[str, Any]) -> float | None:
    """Return the standard error over images; that over directions alone says nothing about other images."""
    for suffix in ("_se_images", "_se"):
        value = errors.get(name + suffix)
        if _is_number(value):
            return float(value)
    return None


def _combine(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else math.hypot(a, b)


def _judge(name: str, change: float, error: float | None) -> str:
    if change == 0:
        return "the same"
    if error is None:
        return "noise not known"
    if abs(change) < _NOISE * error:
        return "within the noise"
    if name.startswith(_LOWER_IS_BETTER):
        return "better" if change < 0 else "worse"
    if name.startswith(_HIGHER_IS_BETTER):
        return "better" if change > 0 else "worse"
    return "changed"
