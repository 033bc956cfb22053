"""`pggan evaluate`: scores of the checkpoints of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--metrics", default="swd", show_default=True, help="Scores, comma-separated: swd, ms-ssim, fid, ...")
@click.option("--checkpoints", type=click.Choice(["all", "newest"]), default="all", show_default=True, help="Of a run.")
@click.option("--num-images", type=click.IntRange(min=1), help="Images per set.  [default: the dataset, <= 16384]")
@click.option("--data", type=click.Path(path_type=Path), help="Real images.  [default: the run's own dataset]")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="[default: evaluation.json in the run]")
@click.option("--plot/--no-plot", default=True, show_default=True, help="Draw curves beside --out, as .png.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto.")
def evaluate(
    run: Path,
    metrics: str,
    checkpoints: str,
    num_images: int | None,
    data: Path | None,
    out: Path | None,
    plot: bool,
    device: str,
) -> None:
    """Score the checkpoints of RUN (a run folder, or one checkpoint) against its dataset.

    The scores are those of `pggan train --metrics`: the same latents, reals and seed. What is finished is kept: the
    same command, given again after an interruption or more training, scores only what is missing.
    """
    from celebahq_cli.pggan_scores import evaluate_checkpoints, list_wanted

    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    found = list_wanted(run, newest=checkpoints == "newest")
    target = out or (run if run.is_dir() else run.parent) / "evaluation.json"
    rows = evaluate_checkpoints(found, names, images=num_images or 0, data=data, target=target, device=device)
    from gan_metrics.curves import draw_curves, format_table

    from celebahq_tools.atomic import write_atomically

    click.echo(format_table(rows))
    written = [str(target)]
    if plot:
        picture = target.with_suffix(".png")
        with write_atomically(picture) as temporary:
            draw_curves(rows).savefig(temporary, format="png", dpi=100)
        written.append(str(picture))
    click.echo(f"written: {', '.join(written)}")
