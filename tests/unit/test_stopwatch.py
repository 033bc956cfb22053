import pytest

from celebahq_tools.stopwatch import Stopwatch


def test_a_stage_inside_another_stops_the_outers_time():
    now = iter([0.0, 1.0, 3.0, 7.0, 10.0, 20.0])
    watch = Stopwatch(lambda: next(now))
    with watch.stage("align"), watch.stage("dejpeg"):
        pass
    with watch.stage("align"):
        pass
    assert watch.seconds == {"align": 1.0 + 4.0 + 10.0, "dejpeg": 2.0}


def test_an_error_is_timed_and_passes_through():
    now = iter([0.0, 2.0])
    watch = Stopwatch(lambda: next(now))
    with pytest.raises(KeyError), watch.stage("decode"):
        raise KeyError
    assert watch.seconds == {"decode": 2.0}
