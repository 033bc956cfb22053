"""Makes a trained weight file part of the package: copies it and writes its line of the weights manifest.

python -m benchmarks.ship_restoration_net runs/dejpeg/weights.safetensors... [--correction 0.7]

Of several files, such as those of a run and of one that goes on from it, the mean of the weights is shipped.
``--correction`` multiplies what a JPEG net adds to its input: a small net is surer of it than it should be on
photographs it has not seen. benchmarks/correction_strength.py says by how much, on the validation photographs.

The name comes from the file's header. The registry in celebahq_tools/restore/__init__.py must know it; the model card
in docs/models/ is written by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import celebahq_manifests
import torch
from safetensors.torch import load_file

from celebahq_tools import restore
from celebahq_tools.restore import srnet
from celebahq_tools.restore.training.checkpoint import read_header
from celebahq_tools.tensor_file import write_tensors
from celebahq_tools.weights import OWN_PACKAGE, hash_file

MAX_BYTES = 4_000_000
VERSION = "0.1.0"
TITLES = {
    "dejpeg": "JPEG artifact removal, ours: symmetric net of convolutions and transposed convolutions",
    "sr": "4x super-resolution, ours: small residual net",
}


def main() -> None:
    """Ship one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--correction", type=float, default=1.0)
    options = parser.parse_args()
    sources: list[Path] = options.weights
    source = sources[0]
    name = read_header(source).get("net")
    if name is None or any(read_header(other).get("net") != name for other in sources):
        raise SystemExit(f"{source}: names no net, or another than the rest; give the weights.safetensors of runs")
    if source.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{source}: {source.stat().st_size} bytes, the limit is {MAX_BYTES}")
    kind = "sr" if name in srnet.VARIANTS else "dejpeg"
    target = Path(restore.__file__).parent / "data" / f"{name}.safetensors"
    target.parent.mkdir(exist_ok=True)
    if options.correction == 1 and len(sources) == 1:
        shutil.copyfile(source, target)
    else:
        combine(sources, target, options.correction)
    entry = f'''[{name}]
task = "{kind}"
title = "{TITLES[kind]} ({source.stat().st_size / 1e6:.1f} MB)"
package = "{OWN_PACKAGE}"
version = "{VERSION}"
path = "celebahq_tools/restore/data/{target.name}"
sha256 = "{hash_file(target)}"
licence = "Apache-2.0"
source = "celebahq-tools, docs/models/{name}.md"
'''
    manifest = Path(celebahq_manifests.__file__).with_name("weights.toml")
    text = manifest.read_text(encoding="utf-8")
    old = re.compile(rf"^\[{re.escape(name)}\]\n(?:.+\n)+", re.MULTILINE)
    text = old.sub(entry, text) if old.search(text) else f"{text.rstrip()}\n\n{entry}"
    manifest.write_text(text, encoding="utf-8")
    registered = name in restore.REGISTRIES[kind]
    print(f"{target}: {target.stat().st_size} bytes" + ("" if registered else f"; add {name!r} to the registry"))


def combine(sources: list[Path], target: Path, factor: float) -> None:
    """Write the mean of weight files; a JPEG net's last convolution, which is added to the input, times a factor."""
    header, files = read_header(sources[0]), [load_file(source) for source in sources]
    about = {**json.loads(header["about"]), "correction": factor, "mean_of": len(files)}
    means = {name: torch.stack([file[name].float() for file in files]).mean(dim=0) for name in files[0]}
    halves = {name: (mean * factor if name.startswith("tail.") else mean).half() for name, mean in means.items()}
    write_tensors(target, halves, {"net": header["net"], "about": json.dumps(about, sort_keys=True)})


if __name__ == "__main__":
    main()
