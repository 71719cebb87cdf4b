"""docs/settings.md and tracemill.example.toml: every key is there, with its real default."""

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.conftest import forget
from tracemill.sections import Section
from tracemill.settings import settings
from trainer.objectives.base import TeacherOptions

GENERATOR = runpy.run_path(str(ROOT / "docs" / "make_settings.py"))
EXAMPLE = (ROOT / "tracemill.example.toml").read_text(encoding="utf-8")
#: A comment of the example file that is TOML: a key, a heading, or a part of a list.
REMARK = re.compile(r"^# (?=[a-z_]+ = |\[|\]|    \{)", re.MULTILINE)

each_part = pytest.mark.parametrize(
    "part", [part for parts in GENERATOR["PARTS"].values() for part in parts], ids=lambda part: part.heading
)


def test_the_page_of_settings_is_up_to_date() -> None:
    assert GENERATOR["PAGE"].read_text(encoding="utf-8") == GENERATOR["page"]()


def test_every_section_is_on_the_page() -> None:
    listed = {part.content for parts in GENERATOR["PARTS"].values() for part in parts}
    with_keys = {
        cls for cls in sections(Section) if cls.model_fields and cls.__module__.startswith(("tracemill", "trainer"))
    }
    inherited = {cls for cls in with_keys if any(issubclass(other, cls) for other in listed)}
    assert with_keys - inherited == set()
    assert TeacherOptions in inherited


def sections(cls: type[Section]) -> set[type[Section]]:
    return {cls}.union(*map(sections, cls.__subclasses__()))


@each_part
def test_every_key_is_explained_and_every_number_has_a_unit(part: Any) -> None:
    for key, default, _, _, comment in GENERATOR["rows"](part.content):
        assert default
        assert len(comment) > 5, key


@each_part
def test_no_two_keys_have_the_same_explanation(part: Any) -> None:
    comments = [comment for *_, comment in GENERATOR["rows"](part.content)]
    assert len(comments) == len(set(comments))


def test_the_example_file_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", str(ROOT / "tracemill.example.toml"))
    forget()
    example = settings().model_dump(exclude={"data_dir"})
    monkeypatch.delenv("TRACEMILL_CONFIG")
    forget()
    assert example == settings().model_dump(exclude={"data_dir"})
    assert tomllib.loads(EXAMPLE)["data_dir"] == ".tracemill"


def test_the_example_file_names_every_setting() -> None:
    keys = set(re.findall(r"\b([a-z_]+) = ", EXAMPLE))
    parts = GENERATOR["PARTS"]["tracemill.toml"]
    known = {key for part in parts for key in part.content.model_fields}
    assert known - keys - {"models", "methods", "feeder", "local", "sampling", "vllm", "openai"} == set()


def test_every_value_in_a_comment_of_the_example_file_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tracemill.toml"
    # An alias has one engine and one model, so the two of the verifier's remark go.
    active = re.sub(r'# engine = "openai"\n# model = .*\n', "", EXAMPLE)
    file.write_text(REMARK.sub("", active))
    monkeypatch.setenv("TRACEMILL_CONFIG", str(file))
    forget()
    assert settings().feeder.backlog == 1024
    assert set(settings().methods) == {"detective", "voices", "plan-first"}
    forget()
