"""Each trace records the settings of the model alias that answered."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.conftest import forget
from tests.integration.factory import additions, fill, rows
from tests.integration.feeding import step
from tracemill.engines.registry import close_engines
from tracemill.settings import settings
from tracemill.stack import Stack
from workers.generate import generate

pytestmark = pytest.mark.integration


def test_a_job_shows_that_the_settings_of_its_model_changed(database: Stack, tmp_path: Path) -> None:
    job_id = fill(additions(3), "sums", samples=2).job_id
    step(settings().feeder)
    config = tmp_path / "tracemill.toml"
    for question_id, old, new in (
        (1, "", ""),
        (2, "price_in = 1.0", "price_in = 2.0"),
        (3, 'model = "scripted"', 'model = "another"'),
    ):
        close_engines()
        config.write_text(config.read_text().replace(old, new))
        forget()
        generate(job_id, [question_id])
    traces = rows("select question_id, count(*), count(distinct model_hash) from trace_scores group by 1 order by 1")
    assert traces == [(1, 2, 1), (2, 2, 1), (3, 2, 1)]
    models = rows("select model, settings ->> 'model' as name, traces from job_models order by first_at")
    assert models == [("teacher", "scripted", 4), ("teacher", "another", 2)]
    shown = CliRunner().invoke(app, ["jobs", "show", "sums"])
    assert "the settings of model teacher changed while it answered" in shown.stdout
    listed = json.loads(CliRunner().invoke(app, ["jobs", "show", "sums", "--json"]).stdout)["models"]
    assert [(row["traces"], row["settings"]["model"]) for row in listed] == [(4, "scripted"), (2, "another")]
