"""The MNIST mode test: train or load the classifier, read the fakes, and count."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gan_metrics import MetricResult, MetricSettings
from gan_metrics.base import Batch
from gan_metrics.digit_classifier import DigitClassifier, encode_classifier, load_classifier, train_classifier
from gan_metrics.modes import PAPER_NUM_IMAGES, ModeCoverage
from numpy.typing import NDArray

from celebahq_cli.swd_score import Reading, choose_images, feed_images, open_reader, show_progress, update_fakes
from celebahq_tools.atomic import write_atomically
from celebahq_tools.errors import ConfigError
from celebahq_tools.source.idx import read_mnist


@dataclass(frozen=True)
class ModesRequest:
    """Options of ``swd modes``; see its help."""

    fake: Path | None
    mnist: Path | None = None
    train_classifier: bool = False
    out: Path | None = None
    classifier: Path | None = None
    epochs: int = 10
    num_images: int | None = None
    seed: int = 0
    device: str = "cpu"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        if self.train_classifier and (self.mnist is None or self.out is None):
            raise ConfigError("--train-classifier needs --mnist DIR with the digits and --out FILE for the weights")
        if self.out is not None and not self.train_classifier:
            raise ConfigError("--out is where --train-classifier saves; pass that too")
        if self.train_classifier and self.classifier is not None:
            raise ConfigError("give either --train-classifier or --classifier FILE")
        if self.fake is None and self.mnist is None:
            raise ConfigError("nothing to do: give FAKE images, or --mnist DIR to measure the classifier")


@dataclass
class ModesOutcome:
    """What ``swd modes`` has to say."""

    lines: list[str] = field(default_factory=list)
    result: MetricResult | None = None
    classifier: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def run_modes(request: ModesRequest) -> ModesOutcome:
    """Do what the request asks for.

    Raises:
        CelebahqError: With what is wrong, where, and the remedy.
    """
    outcome = ModesOutcome()
    test = read_mnist(request.mnist, "t10k") if request.mnist is not None else None
    if request.train_classifier:
        net, description = _train(request)
    else:
        net, description = load_classifier(request.classifier)
    outcome.classifier.update(description)
    if test is not None:
        wrong = int((net.predict(test[0]) != test[1]).sum())
        outcome.classifier["measured_test_error_percent"] = 100 * wrong / len(test[0])
        outcome.lines.append(
            f"classifier  {wrong} of {len(test[0])} test digits wrong ({100 * wrong / len(test[0]):.2f} %)"
        )
    if request.out is not None:
        saved = description | {"test_error_percent": f"{outcome.classifier['measured_test_error_percent']:.2f}"}
        with write_atomically(request.out) as temporary:
            temporary.write_bytes(encode_classifier(net, saved))
        outcome.lines.append(f"saved       {request.out}")
    if request.fake is not None:
        _count(request, request.fake, net, test, outcome)
    return outcome


def _train(request: ModesRequest) -> tuple[DigitClassifier, dict[str, str]]:
    if request.mnist is None:
        raise ConfigError("--train-classifier needs --mnist DIR")
    images, labels = read_mnist(request.mnist, "train")
    with show_progress("training", "batch") as advance:
        net = train_classifier(
            images,
            labels,
            epochs=request.epochs,
            seed=request.seed,
            device=request.device,
            progress=advance,
        )
    description = {
        "data": f"MNIST training set, {len(images)} digits of 28x28",
        "recipe": f"swd modes --train-classifier --epochs {request.epochs} --seed {request.seed}",
    }
    return net, description


def _count(
    request: ModesRequest,
    fake: Path,
    net: DigitClassifier,
    test: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None,
    outcome: ModesOutcome,
) -> None:
    count = request.num_images or PAPER_NUM_IMAGES
    metric = ModeCoverage(MetricSettings(seed=request.seed, device=request.device), classifier=net)
    reading = Reading(skip_bad=request.skip_bad, batch_size=256)
    with ExitStack() as stack:
        reader = open_reader(fake, reading, stack)
        chosen, _ = choose_images(reader, count, count, reading)
        feed_images(reader, chosen, [metric], update_fakes, reading, "fakes")
        outcome.skipped.update(reader.bad)
    if test is not None:
        for batch in _stack_digits(test[0], count, request.seed):
            metric.update_reals(batch)
    outcome.result = metric.compute()


def _stack_digits(digits: NDArray[np.uint8], count: int, seed: int) -> list[Batch]:
    """Return batches of random stacks of three digits, ``count`` in all."""
    rng = np.random.default_rng(seed)
    return [digits[rng.integers(len(digits), size=(min(1024, count - at), 3))] for at in range(0, count, 1024)]
