"""`pggan export`: the generator alone, for others."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("network", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="FILE.safetensors (weights and shape) or FILE.onnx (runs without torch).",
)
@click.option("--resolution", type=int, help="Shorter side of its images.  [default: where training stood]")
def export(network: Path, out: Path, resolution: int | None) -> None:
    """Write the generator of NETWORK (a run folder or checkpoint) to a file of its own: its running average, no more.

    An ONNX file is compared with the original at once if onnxruntime is installed.
    """
    from celebahq_tools.errors import InputError, StoreError
    from pggan_core.generator_file import choose_level, open_generator, write_generator

    if out.suffix not in (".safetensors", ".onnx"):
        raise InputError(f"{out}: end it in .safetensors or .onnx")
    if not out.parent.is_dir():
        raise InputError(f"{out}: the folder {out.parent} does not exist; create it or write elsewhere")
    trained = open_generator(network, say=lambda text: click.echo(text, err=True))
    if resolution is not None:
        trained = choose_level(trained, resolution)
    said = ""
    if out.suffix == ".safetensors":
        write_generator(out, trained)
    else:
        from pggan_core.onnx_export import TOLERANCE, compare_onnx, write_onnx

        write_onnx(out, trained)
        difference = compare_onnx(out, trained)
        if difference is not None and difference > TOLERANCE:
            out.unlink()
            raise StoreError(f"{out}: onnxruntime's images differ by {difference:.1e} from torch's; removed it")
        said = "" if difference is None else f"; onnxruntime's images differ by at most {difference:.1e} from torch's"
    _, height, width = trained.shape
    click.echo(f"{out}: generator of {width}x{height}, {out.stat().st_size / 1e6:.1f} MB{said}")
