"""The smallest training run that passes through all stages, and the dataset it learns from."""

import numpy as np

from celebahq_tools.store.writer import create_dataset
from pggan_core.config import TrainConfig


def write_noise(path):
    """Write a dataset of 24 images of 8x8 pixels, with labels of three classes beside it; returns its path."""
    rng = np.random.default_rng(0)
    with create_dataset(path, height=8, width=8) as writer:
        for _ in range(24):
            writer.append(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    np.save(path.with_name(f"{path.stem}-labels.npy"), np.eye(3, dtype=np.float32)[np.arange(24) % 3])
    return path


def make_config(data, **changes):
    """Return settings of twenty steps of 8 images: 4x4 for 64 images, 8x8 fades in for 64, then stays."""
    settings = {
        "data": str(data),
        "kimg": 0.16,
        "stable_kimg": 0.064,
        "fade_kimg": 0.064,
        "batch": 8,
        "batch_at": (),
        "latent_size": 4,
        "fmap_base": 16,
        "fmap_max": 4,
        "tick_kimg": 0.016,
        "snapshot_kimg": 10.0,
        "keep": 100,
        "workers": 0,
        "device": "cpu",
    }
    return TrainConfig(**(settings | changes))
