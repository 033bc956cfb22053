"""The `swd` command: score GAN images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celebahq_cli.failures import Program
from celebahq_cli.seeds import SEED
from celebahq_cli.swd_options import add_reading_options, check_targets, metrics_option

if TYPE_CHECKING:
    from gan_metrics import MetricSettings
    from gan_metrics.earlier_score import EarlierScore

    from celebahq_cli.swd_score import Outcome, Reading

# Written out, so that --help imports no metric; a test compares it with the registry.
METRIC_NAMES = ("swd", "ms-ssim", "fid", "kid", "is", "prdc", "modes")
_PLOTS = (".png", ".svg", ".pdf")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="celebahq-tools")
def main() -> None:
    """Score generated images: sliced Wasserstein distance and kin."""


@main.command()
@click.argument("real", type=click.Path(path_type=Path))
@click.argument("fake", type=click.Path(path_type=Path))
@metrics_option(METRIC_NAMES)
@click.option("--fid-infinity", is_flag=True, help="Also extrapolate FID to infinitely many images.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), help="Draw it (.png, .svg, .pdf)."
)
@click.option("--report", "page_file", type=click.Path(path_type=Path, dir_okay=False), help="Make an HTML page of it.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An earlier --json report: --report says what changed.",
)
@add_reading_options
def score(
    real: Path,
    fake: Path,
    names: tuple[str, ...],
    fid_infinity: bool,
    json_file: Path | None,
    plot_file: Path | None,
    page_file: Path | None,
    against: Path | None,
    **options: Any,
) -> None:
    """Score FAKE images against REAL ones.

    Each is a folder (searched recursively), a .zip, an .npy or .npz of uint8, or one of our HDF5 files; REAL may be
    a file saved by `swd stats`.
    """
    from gan_metrics.report import draw_results, format_results

    from celebahq_cli.swd_score import score as run_score

    settings, reading = _split_options(options, fid_infinity=fid_infinity)
    # What would stop the report is better said before an hour of work than after it.
    check_targets(json_file, plot_file, page_file)
    earlier = _read_earlier(against, page_file)
    if plot_file is not None:
        if plot_file.suffix not in _PLOTS:
            raise click.BadParameter(f"{plot_file}: end it in {', '.join(_PLOTS)}", param_hint="--plot")
        draw_results([])
    outcome = run_score(real, fake, names, settings, reading, for_page=page_file is not None)
    click.echo(f"reals  {outcome.reals}\nfakes  {outcome.fakes}\nseed   {settings.seed}\n")
    click.echo(format_results(outcome.results))
    for path, bad in outcome.skipped.items():
        click.echo(f"skipped in {path}: {len(bad)} unreadable images", err=True)
        for name, reason in bad.items():
            click.echo(f"  {name}: {reason}", err=True)
    _write_report(outcome, settings.seed, json_file, plot_file)
    if page_file is not None:
        from celebahq_cli.swd_report import write_score_page

        write_score_page(page_file, outcome, settings.seed, earlier)


@main.command()
@click.argument("real", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Statistics file to write.")
@metrics_option(METRIC_NAMES)
@click.option(
    "--projections",
    is_flag=True,
    help="Save SWD's sorted projections too: faster scores from as many images, 0.3 MB more per image and level.",
)
@add_reading_options
def stats(real: Path, out: Path, names: tuple[str, ...], projections: bool, **options: Any) -> None:
    """Save what can be reused of the REAL images, for `swd score FILE FAKE`."""
    from celebahq_cli.swd_score import save_reals

    check_targets(out)
    settings, reading = _split_options(options, save_projections=projections)
    saved = save_reals(real, out, names, settings, reading)
    click.echo(f"{out}: saved statistics of {real} for {', '.join(saved)} ({out.stat().st_size / 1e6:.1f} MB)")


@main.command()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: <image>.pyramid.png]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="As for the score.")
@click.option("--count", type=click.IntRange(0, 128), default=24, show_default=True, help="Neighbourhoods per level.")
def pyramid(image: Path, out: Path | None, seed: int, count: int) -> None:
    """Draw the Laplacian levels of IMAGE and the 7x7 neighbourhoods SWD looks at."""
    from gan_metrics.report import draw_pyramid

    from celebahq_tools.pictures.canvas import save_picture
    from celebahq_tools.source.images import load_image

    target = out or image.with_suffix(".pyramid.png")
    save_picture(draw_pyramid(load_image(image), seed=seed, count=count), target)
    click.echo(str(target))


@main.command()
@click.argument("fake", type=click.Path(path_type=Path), required=False)
@click.option("--mnist", type=click.Path(path_type=Path, file_okay=False), help="Folder of the four MNIST IDX files.")
@click.option("--train-classifier", is_flag=True, help="Train a classifier from --mnist and save it as --out.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Where --train-classifier saves.")
@click.option("--classifier", type=click.Path(path_type=Path, dir_okay=False), help="Use this one, not the shipped.")
@click.option("--epochs", type=click.IntRange(min=1), default=10, show_default=True, help="Of the training.")
@click.option("--num-images", type=click.IntRange(min=1), help="Fakes to look at.  [default: 25600]")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Source of randomness.")
@click.option("--device", default="cpu", show_default=True, help="Torch device.")
@click.option("--skip-bad", is_flag=True, help="Go on without unreadable images, naming them.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
def modes(fake: Path | None, json_file: Path | None, **options: Any) -> None:
    """Count the modes of FAKE images that stack three digits, out of 1000, and their KL divergence from uniform.

    FAKE is a set of images as for `swd score`, 28x28 or 32x32. With --mnist the classifier's error is measured on
    the test digits, and stacks of real digits stand beside the fakes.
    """
    from gan_metrics.report import format_results

    from celebahq_cli.swd_modes import ModesRequest, run_modes

    check_targets(json_file, options["out"])
    outcome = run_modes(ModesRequest(fake=fake, **options))
    for line in outcome.lines:
        click.echo(line)
    if outcome.result is not None:
        click.echo(format_results([outcome.result]))
    if json_file is not None:
        from celebahq_tools.atomic import write_text_atomically

        report = {"classifier": outcome.classifier, "skipped": outcome.skipped}
        if outcome.result is not None:
            report |= {"metrics": {"modes": outcome.result.to_dict()}}
        write_text_atomically(json_file, json.dumps(report, indent=2, allow_nan=False) + "\n")


def _split_options(
    options: dict[str, Any], *, fid_infinity: bool = False, save_projections: bool = False
) -> tuple[MetricSettings, Reading]:
    from gan_metrics import MetricSettings

    from celebahq_cli.swd_score import Reading

    weights = options["inception_weights"]
    settings = MetricSettings(
        num_images=options["num_images"],
        seed=options["seed"],
        workers=options["workers"],
        max_memory=options["max_memory"],
        device=options["device"],
        inception_weights=Path(weights) if weights else None,
        fid_infinity=fid_infinity,
        floor=options["floor"],
        save_projections=save_projections,
    )
    reading = Reading(
        size=options["size"],
        resize=options["resize"],
        skip_bad=options["skip_bad"],
        batch_size=options["batch_size"],
        workers=options["workers"],
    )
    return settings, reading


def _read_earlier(against: Path | None, page_file: Path | None) -> EarlierScore | None:
    from gan_metrics.earlier_score import read_earlier

    if against is None:
        return None
    if page_file is None:
        raise click.UsageError("--against: the page says what changed; name it with --report FILE")
    return read_earlier(against)


def _write_report(outcome: Outcome, seed: int, json_file: Path | None, plot_file: Path | None) -> None:
    from gan_metrics.report import draw_results

    from celebahq_tools.atomic import write_atomically, write_text_atomically

    if json_file is not None:
        report = {
            "reals": outcome.reals,
            "fakes": outcome.fakes,
            "seed": seed,
            "metrics": {result.metric: result.to_dict() for result in outcome.results},
            "skipped": outcome.skipped,
        }
        write_text_atomically(json_file, json.dumps(report, indent=2, allow_nan=False) + "\n")
    if plot_file is not None:
        with write_atomically(plot_file) as temporary:
            draw_results(outcome.results).savefig(temporary, format=plot_file.suffix.lstrip("."), dpi=150)
