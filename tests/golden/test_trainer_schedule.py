"""The schedule equals the original programs' at every point stored: exact, both are the same arithmetic."""

import json
from pathlib import Path

import pytest

from celebahq_tools.config import resolve_config
from pggan_core.config import TrainConfig
from pggan_core.presets import find_preset
from pggan_core.schedule import schedule_at

STORED = json.loads((Path(__file__).parent / "nets" / "schedule.json").read_text())
LEVELS = 8


def make_schedule(preset):
    return resolve_config(TrainConfig, preset=find_preset(preset).settings).schedule(LEVELS)


@pytest.mark.parametrize(
    ("stored", "preset"), [("v1-1gpu", "tf-v1-1gpu"), ("v2-1gpu", "tf-v2-1gpu"), ("v2-8gpus", "tf-v2-8gpu")]
)
def test_schedule_equals_the_tensorflow_programs(stored, preset):
    schedule = make_schedule(preset)
    rows = STORED["data"][stored]
    assert len(rows) > 200
    for row in rows:
        expected = dict(zip(STORED["columns"], row, strict=True))
        point = schedule_at(schedule, expected["kimg"] * 1000)
        got = (point.lod, point.resolution, point.batch, point.lr, point.lr)
        assert got == tuple(expected[name] for name in ("lod", "res", "minibatch", "G_lr", "D_lr")), expected


def test_schedule_of_the_paper_preset_equals_the_theano_programs():
    schedule = make_schedule("celebahq-1024")
    for kimg, lod in STORED["data"]["theano-celebahq-lod"]:
        assert schedule_at(schedule, kimg * 1000).lod == lod
