"""`tracemill report`: one self-contained page of measurements that escapes all text of a model."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cli.main import app
from db.session import transaction
from tests.integration.measured import benchmark, measured, teach
from tests.integration.rounds import new_round, round_spec
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(2)></pre><a href="http://evil.example">&amp;'
BEFORE = [True] * 4 + [False] * 36
AFTER = [True] * 3 + [False] * 21 + [True] * 16


class Page(HTMLParser):
    """A page's text, its elements and the values of its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "line", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def rounds(clean: Stack) -> None:
    """Round `good`, in two stages, on the benchmark `sums`. Questions and answers are hostile."""
    with transaction() as connection:
        traces = teach(connection, 8)
        benchmark(connection, "sums", BEFORE, template=HOSTILE + " What is {n} + 50?")
        round_id = measured(connection, "good", {"sums": AFTER}, traces[:6])
        connection.execute(text("update traces set text = text || :hostile"), {"hostile": HOSTILE})
        connection.execute(text("update examples set stage = position / 3 where round_id = :id"), {"id": round_id})
        connection.execute(text("update verdicts set steps = 1 + trace_id % 3"))
        connection.execute(text("update traces set tokens_out = 100 + id"))


def report(folder: Path, name: str = "good", *flags: str) -> tuple[Page, str]:
    path = folder / "report.html"
    done = CliRunner().invoke(app, ["report", name, "-o", str(path), *flags], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return Page(path.read_text(encoding="utf-8")), done.stdout


def test_a_report_tells_significant_differences_from_others(rounds: None, tmp_path: Path) -> None:
    page, printed = report(tmp_path)
    assert str(tmp_path / "report.html") in printed
    assert "Training on 6 examples raised right answers from 10.0 % to 47.5 % of 40 held-out questions." in page.text
    assert "more questions right than the base model: +37.5 points [" in page.text
    assert "there is no control arm (tracemill train ROUND.toml --control)" in page.text
    assert "this is one run" in page.text


def test_a_difference_that_chance_makes_is_not_called_a_gain(rounds: None, tmp_path: Path) -> None:
    with transaction() as connection:
        measured(connection, "still", {"sums": [True] * 5 + [False] * 35}, [1, 2])
    page, _ = report(tmp_path, "still")
    assert "moved right answers from 10.0 % to 12.5 % of 40 held-out questions: no more than chance would." in page.text
    assert "Nothing beyond chance." in page.text
    assert "for each point gained" in page.text
    assert "no gain is shown" in page.text


def test_the_control_arm_is_part_of_the_report_once_it_is_measured(rounds: None, tmp_path: Path) -> None:
    with transaction() as connection:
        new_round(connection, round_spec("good-control"))
    assert "its control arm good-control is queued" in report(tmp_path)[0].text
    with transaction() as connection:
        connection.execute(text("delete from rounds where name = 'good-control'"))
        measured(connection, "good-control", {"sums": BEFORE}, [1, 2, 3])
    page, _ = report(tmp_path)
    claim = "In this run the chosen traces taught more than as many tokens of unfiltered ones: +37.5 points ["
    assert claim in page.text
    assert ("class", "control") in page.attributes


def test_model_text_stays_text_and_loads_nothing(rounds: None, tmp_path: Path) -> None:
    page, _ = report(tmp_path)
    assert page.text.count(HOSTILE) == 25  # five flips: the question, both answers, and two examples each
    assert not {"script", "img", "a", "iframe", "link", "object"} & set(page.elements)
    assert not [name for name, _ in page.attributes if name in ("src", "href", "action") or name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert page.open == []  # every element is closed in order


def test_flips_are_shown_beside_similar_training_questions(rounds: None, tmp_path: Path) -> None:
    output = json.loads(report(tmp_path, "good", "--json")[1])
    assert output["flipped"] == {"gained": 16, "lost": 1}
    assert [flip["flip"] for flip in output["flips"]] == ["gained"] * 4 + ["lost"]
    first = output["flips"][0]
    assert (first["before"], first["after"]) == (f"base says wrong{HOSTILE}", f"good says right{HOSTILE}")
    assert len(first["nearest"]) == 2
    assert {near["teacher"] for near in first["nearest"]} == {"teacher"}


def test_the_figures_of_a_report_are_those_of_the_round(rounds: None, tmp_path: Path) -> None:
    page, printed = report(tmp_path, "good", "--json")
    output = json.loads(printed)
    assert [(stage["stage"], stage["examples"]) for stage in output["stages"]] == [(0, 3), (1, 3)]
    assert output["cost"]["traces"] == 8
    assert (output["cost"]["tokens"], output["cost"]["trained_tokens"]) == (sum(range(101, 109)), sum(range(101, 107)))
    assert sum(output["scores"]["tokens_out"]["trained"]) == 6
    assert sum(output["scores"]["tokens_out"]["others"]) == 2
    assert [cell["questions"] for cell in output["breakdown"]["domain"]] == [40]
    assert ("points", "") not in page.attributes
    assert page.elements.count("polyline") == 1  # the loss


def test_a_round_that_is_not_evaluated_has_no_report(rounds: None, tmp_path: Path) -> None:
    with transaction() as connection:
        new_round(connection, round_spec("new"))
    done = CliRunner().invoke(app, ["report", "new", "-o", str(tmp_path / "r.html")])
    assert isinstance(done.exception, UsageError)
    assert "round 'new' is queued: there is nothing to report before it is evaluated" in str(done.exception)
    assert isinstance(CliRunner().invoke(app, ["report", "nobody"]).exception, UsageError)


def test_a_report_goes_into_the_rounds_folder_by_default(rounds: None) -> None:
    done = CliRunner().invoke(app, ["report", "good", "--json"])
    path = Path(json.loads(done.stdout)["page"])
    assert path.parts[-3:] == ("rounds", "good", "report.html")
    assert "<!doctype html>" in path.read_text(encoding="utf-8")
