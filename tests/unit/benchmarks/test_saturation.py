"""The saturation benchmark measures what a user gets."""

import tomllib

from benchmarks.saturation import SETTINGS


def test_the_factory_of_the_benchmark_has_the_default_settings() -> None:
    settings = tomllib.loads(SETTINGS)
    assert set(settings) == {"local"}
    assert set(settings["local"]) == {"generate", "judge", "train", "flower"}  # only which processes run
