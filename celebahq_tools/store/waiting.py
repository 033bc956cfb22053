"""Where finished faces wait in the work folder until the dataset is written."""

from __future__ import annotations

from pathlib import Path

FACES_PER_FOLDER = 1000


def face_path(faces: Path, index: int) -> Path:
    """Return where a finished face waits; a thousand to a folder, so that no folder grows past what is quick.

    Args:
        faces: Folder of all waiting faces.
        index: Of the photograph in the source.
    """
    return faces / f"{index // FACES_PER_FOLDER:05d}" / f"{index:08d}.npz"
