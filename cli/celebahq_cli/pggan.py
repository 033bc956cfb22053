"""The `pggan` command: train the progressive GAN."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celebahq_cli.failures import INTERRUPTED, Program
from celebahq_cli.pggan_evaluate import evaluate
from celebahq_cli.pggan_export import export
from celebahq_cli.pggan_generate import generate
from celebahq_cli.pggan_import import import_networks
from celebahq_cli.pggan_neighbors import neighbors
from celebahq_cli.pggan_report import report
from celebahq_cli.pggan_video import video

if TYPE_CHECKING:
    from pggan_core.config import TrainConfig

# Written out, so that --help imports no torch; tests compare them with the registries.
LOSS_NAMES = ("wgan-gp", "lsgan", "hinge", "logistic-r1")
METRIC_NAMES = ("swd", "ms-ssim", "fid", "kid", "is", "prdc", "modes")


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="celebahq-tools")
def main() -> None:
    """Train the progressive GAN, and use what was trained."""


main.add_command(evaluate)
main.add_command(export)
main.add_command(generate)
main.add_command(import_networks)
main.add_command(neighbors)
main.add_command(report)
main.add_command(video)


@main.command()
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Print all of them as the page docs/presets.md.")
def presets(name: str | None, markdown: bool) -> None:
    """List the presets, or print every setting of the preset NAME."""
    from celebahq_tools.config import format_config, resolve_config
    from pggan_core.config import TrainConfig
    from pggan_core.presets import PRESETS, find_preset, format_markdown

    if markdown:
        click.echo(format_markdown(), nl=False)
    elif name is None:
        width = max(map(len, PRESETS))
        for key, preset in PRESETS.items():
            click.echo(f"{key:<{width}}  {preset.summary}")
    else:
        click.echo(format_config(resolve_config(TrainConfig, preset=find_preset(name).settings)))


@main.command()
@click.option("--data", help="HDF5 dataset, folder of images, or StyleGAN zip.")
@click.option("--preset", help="Named configuration; see `pggan presets`.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="TOML file of settings, over the preset.")
@click.option("--resolution", type=int, help="Shorter side to train up to.  [default: the dataset's]")
@click.option("--kimg", type=float, help="Length in thousands of real images.")
@click.option("--batch", type=int, help="Minibatch size at every resolution.")
@click.option("--mirror/--no-mirror", default=None, help="Flip half of the reals left to right.")
@click.option("--conditional/--unconditional", default=None, help="Use the dataset's labels (AC-GAN).")
@click.option("--loss", type=click.Choice(LOSS_NAMES), help="Adversarial loss.")
@click.option("--seed", type=int, help="Seed of weights, latents, data order and mirroring.")
@click.option("--metrics", help=f"Scores to follow, comma-separated: {', '.join(METRIC_NAMES)}.")
@click.option("--every", type=float, help="Thousand images between scores.  [default: start and end only]")
@click.option("--metric-images", type=click.IntRange(min=1), help="Images per score.  [default: the dataset, <= 16384]")
@click.option(
    "--run-dir", type=click.Path(path_type=Path), help="Folder of the run.  [default: the next runs/NNNNN-PRESET]"
)
@click.option("--resume", help="Checkpoint to go on from, or 'auto' for the newest in --run-dir.")
@click.option("--keep", type=int, help="Checkpoints kept.")
@click.option("--workers", type=int, help="Processes that read images; 0 for a thread.")
@click.option("--device", help="cpu, cuda, or auto.")
@click.option("--precision", type=click.Choice(["fp32", "tf32", "bf16"]), help="Arithmetic of the networks.")
@click.option("--compile/--no-compile", default=None, help="Use torch.compile where no second derivative is taken.")
@click.option("--dry-run", is_flag=True, help="Print the configuration and the networks, and stop.")
def train(
    preset: str | None,
    file: Path | None,
    run_dir: Path | None,
    resume: str | None,
    metrics: str | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Train on --data, which any interruption only pauses: `--resume auto` goes on bit for bit.

    On several GPUs or machines: `torchrun --nproc-per-node 8 --no-python pggan train ...`.

    Settings come from the defaults, then --preset, then --config, then the options given here. A resumed run takes
    its own settings unless --preset or --config is given.
    """

    def prepare() -> tuple[TrainConfig, Path]:
        return _prepare(preset, file, run_dir, resume, metrics, options)

    if os.environ.get("WORLD_SIZE", "1") != "1":  # Started by torchrun, with others.
        from celebahq_cli.pggan_ranks import run_together

        finished = run_together(prepare, resume, dry_run=dry_run)
    else:
        config, folder = prepare()

        # This needs torch, which takes seconds to import.
        from celebahq_cli.pggan_run import describe, run

        click.echo(describe(config, dry_run=dry_run))
        finished = dry_run or run(config, folder, resume)
    if not finished:
        raise SystemExit(INTERRUPTED)


def _prepare(
    preset: str | None,
    file: Path | None,
    run_dir: Path | None,
    resume: str | None,
    metrics: str | None,
    options: dict[str, Any],
) -> tuple[TrainConfig, Path]:
    """Return the run's settings and folder; print the settings."""
    from celebahq_tools.config import format_config, resolve_config
    from celebahq_tools.errors import ConfigError
    from pggan_core.config import TrainConfig
    from pggan_core.presets import find_preset

    if resume is not None and resume != "auto" and run_dir is None:
        run_dir = Path(resume).parent.parent
    if resume == "auto" and run_dir is None:
        raise ConfigError("--resume auto: name the run with --run-dir")
    settings = find_preset(preset).settings if preset else None
    if settings is None and file is None and resume is not None and run_dir is not None:
        settings = _read_stored(run_dir)
        if settings is None and resume != "auto":  # a new run folder, which goes on from another run
            from pggan_core.checkpoint import read_settings

            settings = read_settings(Path(resume))
    if options["batch"] is not None:
        options["batch_at"] = ()
    if metrics is not None:
        options["metrics"] = tuple(name.strip() for name in metrics.split(",") if name.strip())
    config = resolve_config(TrainConfig, preset=settings, file=file, flags=options)
    if config.metrics:
        from celebahq_cli.pggan_metrics import require_metrics

        require_metrics(config.metrics)
    if not config.data:
        raise ConfigError("no dataset: pass --data FILE, or set `data` in the configuration file")
    click.echo(format_config(config))
    return config, run_dir or _next_run_folder(preset or "custom")


def _read_stored(run_dir: Path) -> dict[str, object] | None:
    """Return the settings of an earlier run, or None if the folder holds none."""
    from celebahq_tools.errors import ConfigError

    path = run_dir / "config.json"
    if not path.is_file():
        return None
    try:
        stored: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot read the run's settings ({error}); pass --preset or --config") from None
    return stored


def _next_run_folder(name: str) -> Path:
    """Return runs/NNNNN-name with the first number above those taken."""
    parent = Path("runs")
    taken = [int(p.name[:5]) for p in parent.glob("[0-9][0-9][0-9][0-9][0-9]-*")] if parent.is_dir() else []
    return parent / f"{max(taken, default=-1) + 1:05d}-{name.replace('*', '-star')}"


if __name__ == "__main__":
    main()
