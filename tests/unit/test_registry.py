import pytest

from celebahq_tools.errors import ConfigError
from celebahq_tools.registry import Registry


def test_an_entry_is_imported_only_when_it_is_loaded():
    registry: Registry[object] = Registry("thing", {"there": "json:dumps", "absent": "no_such_module:x"})
    assert list(registry) == ["there", "absent"]
    import json

    assert registry.load("there") is json.dumps
    with pytest.raises(ModuleNotFoundError):
        registry.load("absent")


def test_an_unknown_name_is_answered_with_the_nearest_one():
    with pytest.raises(ConfigError, match="unknown metric 'sdw'; did you mean 'swd'"):
        Registry("metric", {"swd": "a:b", "fid": "c:d"}).load("sdw")


@pytest.mark.parametrize(("name", "target"), [("taken", "a:b"), ("new", "no_colon"), ("new", ":b"), ("new", "a:")])
def test_a_refused_entry_leaves_the_registry_as_it_was(name, target):
    registry: Registry[object] = Registry("thing", {"taken": "x:y"})
    with pytest.raises(ConfigError):
        registry.add(name, target)
    assert list(registry) == ["taken"]
