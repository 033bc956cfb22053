"""What became of a photograph as a row of the journal: small, since there are hundreds of thousands of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from celebahq_tools.types import ItemRecord

COLUMNS = (
    "idx, file, sha256, landmarks, quad, zoom, photo_fraction, score, components, stage, reason, detail, "
    "seconds, facts, thumb"
)
"""Of the table ``items``, in the order of :func:`encode_row`; two follow them, ``stored`` and ``finished``."""
_LANDMARKS, _QUAD = "<f4", "<f8"


def encode_row(record: ItemRecord) -> tuple[Any, ...]:
    """Return the values of :data:`COLUMNS`: arrays and the checksum as bytes, mappings as JSON."""
    return (
        record.index,
        record.file,
        bytes.fromhex(record.sha256),
        None if record.landmarks is None else record.landmarks.astype(_LANDMARKS).tobytes(),
        None if record.quad is None else record.quad.astype(_QUAD).tobytes(),
        record.zoom,
        record.photo_fraction,
        record.score,
        _dump(record.components),
        record.stage,
        record.reason,
        record.detail,
        _dump({name: round(seconds, 6) for name, seconds in record.seconds.items()}),
        _dump(record.facts),
        record.thumb,
    )


def decode_row(row: Sequence[Any]) -> ItemRecord:
    """Return the record that :func:`encode_row` made a row of.

    Raises:
        ValueError, TypeError, AttributeError, CelebahqError: If the row is damaged.
    """
    index, file, sha256, landmarks, quad, zoom, fraction, score, parts, stage, reason, detail, *rest = row
    seconds, facts, thumb = rest
    return ItemRecord(
        index,
        file,
        sha256.hex(),
        None if landmarks is None else np.frombuffer(landmarks, _LANDMARKS).reshape(5, 2),
        None if quad is None else np.frombuffer(quad, _QUAD).reshape(4, 2),
        zoom,
        fraction,
        score,
        dict(json.loads(parts)),
        stage,
        reason,
        detail,
        dict(json.loads(seconds)),
        dict(json.loads(facts)),
        thumb,
    )


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), separators=(",", ":"))
