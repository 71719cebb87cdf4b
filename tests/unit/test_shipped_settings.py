"""Every settings file that we ship opens, and its student can be trained and served."""

import pytest

from tests import ROOT
from tests.conftest import forget
from tracemill.settings import settings
from trainer.fit_spec import FitSpec
from trainer.select.spec import SelectSpec
from trainer.spec import EvaluateSpec, RoundSpec
from trainer.submit import check_student

FILES = ("docker/settings.toml", "recipes/tracemill.toml", "tracemill.example.toml")
ROUND = RoundSpec(name="first", select=SelectSpec(jobs=["a"]), evaluate=EvaluateSpec(jobs=["b"]), fit=FitSpec())


@pytest.mark.parametrize("file", FILES)
def test_the_student_of_a_shipped_settings_file_takes_rounds(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", str(ROOT / file))
    forget()
    check_student(ROUND)
    assert set(settings().local.served) <= settings().models.keys()
    forget()
