"""How smoothly `pggan video` moves on a trained run, and how much variation `--truncation` leaves.

python -m benchmarks.film_steps RUN_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from pggan_core.drawing import Drawer, draw_images
from pggan_core.generator_file import open_generator
from pggan_core.video import VideoConfig, draw_frames

CPU = torch.device("cpu")


def main() -> None:
    """Print both."""
    trained = open_generator(Path(sys.argv[1]))
    print(f"{trained.path}: {trained.images_shown / 1000:.0f} kimg, {trained.shape}")
    config = VideoConfig(seconds=10, columns=1, rows=1)
    frames = np.stack(list(draw_frames(Drawer(trained, device=CPU), config))).astype(float)
    steps = np.abs(frames - np.roll(frames, 1, axis=0)).mean(axis=(1, 2, 3))
    half = np.abs(frames - np.roll(frames, config.frames // 2, axis=0)).mean()
    print(
        f"{config.frames} frames: mean change from one to the next, in grey levels: median {np.median(steps):.2f}, "
        f"largest {steps.max():.2f}, from the last to the first {steps[0]:.2f}; 5 s apart {half:.1f}"
    )
    for psi in (1.0, 0.8, 0.7, 0.5, 0.25, 0.0):
        images = np.concatenate(list(draw_images(Drawer(trained, device=CPU, psi=psi), 1000, seed=0)))
        print(f"psi {psi}: standard deviation over 1000 images {images.std(axis=0).mean():.1f}")


if __name__ == "__main__":
    main()
