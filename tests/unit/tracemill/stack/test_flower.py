"""Flower only shows unless a setting lets it change workers."""

import os
from unittest.mock import patch

import pytest
from flower.options import options
from flower.views.monitor import Metrics

from tests.conftest import forget
from tracemill.stack.flower import restrict


@pytest.mark.parametrize(("writable", "read_only"), [(None, True), ("false", True), ("true", False)])
def test_one_setting_lets_flower_change_workers(
    writable: str | None, read_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if writable:
        monkeypatch.setenv("TRACEMILL_LOCAL__FLOWER_WRITABLE", writable)
    forget()
    current = options.mockable()
    try:
        with (
            patch.object(current, "read_only", options.read_only), patch.object(current, "conf", options.conf),
            patch.object(Metrics, "get", Metrics.get), patch.object(Metrics, "prepare", Metrics.prepare),
        ):  # fmt: skip
            restrict()
            assert options.read_only is read_only
            assert options.conf == os.devnull  # no file of the working folder is run
    finally:
        forget()
