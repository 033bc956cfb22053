"""Fetches the photographs that our restoration nets are trained, validated and compared on, from Debian's packages.

python -m benchmarks.fetch_photographs photos            apt-get download; about 310 MB

photos/train and photos/validation get the files as they are; photos/held-out gets PNGs at half size, so that their own
JPEG artifacts are gone, and the photographs that come with scikit-image at full size. Needs apt-get and dpkg (Debian,
Ubuntu), and `apt-get update` once. No release of Debian has all packages: most are those of Debian 12, and
budgie-backgrounds came with Debian 13; a package or file that is not there is passed over, and the counts are printed.
Authors and licences: data_manifests/celebahq_manifests/photographs.csv.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import skimage.data
from celebahq_manifests import read_table
from PIL import Image

SCIKIT_IMAGE = {
    "astronaut": skimage.data.astronaut,
    "coffee": skimage.data.coffee,
    "chelsea": skimage.data.chelsea,
    "rocket": skimage.data.rocket,
    "motorcycle": lambda: skimage.data.stereo_motorcycle()[0],
}


def main() -> None:
    """Fetch everything into the folder given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    rows = read_table("photographs")
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    for name in sorted({row["package"] for row in rows}):
        if not list(packages.glob(f"{name}_*.deb")):
            done = subprocess.run(["apt-get", "download", name], cwd=packages, check=False)
            if done.returncode:
                print(f"{name}: not in this release; its photographs are passed over")
        for archive in packages.glob(f"{name}_*.deb"):
            subprocess.run(["dpkg", "-x", str(archive), str(packages / name)], check=True)
    for row in rows:
        source = packages / row["package"] / row["file"]
        target = folder / row["role"] / name_photograph(row)
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if row["role"] == "held-out":
            image = Image.open(source).convert("RGB")
            half = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
            half.save(target.with_suffix(".png"))
        else:
            shutil.copyfile(source, target)
    for name, load in SCIKIT_IMAGE.items():
        Image.fromarray(load()).save(folder / "held-out" / f"scikit-image_{name}.png")
    for role in ("train", "validation", "held-out"):
        print(f"{role}: {len(list((folder / role).iterdir()))} photographs in {folder / role}")


def name_photograph(row: dict[str, str]) -> str:
    """Return a file name that says which package a photograph is from; some packages use one name for all."""
    path = Path(row["file"])
    stem = path.parts[-4] if path.parts[-2] == "images" else path.stem
    return f"{row['package']}_{stem}{path.suffix}"


if __name__ == "__main__":
    main()
