"""The verify task and `tracemill verify FILE` give the same verdict for the same trace."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from db.queries import Q
from db.session import transaction
from producer.sources import Question
from tests.conftest import forget
from tests.integration.factory import ASK, fill, rows
from tests.scripted_judges import of_known_quality, scripted_judge
from tracemill.engines import Completion
from tracemill.engines.registry import close_engines
from tracemill.methods import Call, named
from tracemill.policy import Policy
from tracemill.scores import SCORE_FIELDS
from tracemill.stack import Stack
from tracemill.verification import Scoring, Verifier
from tracemill.verification.files import Input, verified
from workers.job import worker_job
from workers.traces import trace_row
from workers.verify import verify
from workers.visit import Answer, Link, Slot

pytestmark = pytest.mark.integration

ADD = "What is 3 + 4? Add {} as well."
PROGRAM = "```python\ndef double(x):\n    return {}\n```"
THINKING = "<think>3 + 4 = 8, no. 3 + 4 = 7.</think>\nThe answer is 7."
GRID = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
LINES = "\n".join(" ".join(map(str, row)) for row in GRID)
#: A puzzle with a scorer of its own: its answer is a grid, and no number.
PUZZLE = {
    "kind": None,
    "gold": LINES,
    "scorer": {
        "name": "reasoning_gym",
        "entry": {
            "question": "Solve it.",
            "answer": LINES,
            "metadata": {"source_dataset": "mini_sudoku", "puzzle": [[0, *row[1:]] for row in GRID], "solution": GRID},
        },
    },
}
#: Traces of several kinds, with and without gold, steps and thoughts.
TRACES: list[dict[str, Any]] = [
    {"kind": "number", "gold": "7", "trace": "3 + 4 = 7.\nThe answer is 7."},
    {"kind": "number", "gold": "7", "trace": "3 + 4 = 8.\nThe answer is 8."},
    {"kind": "number", "gold": "7", "trace": "I do not know."},
    {"kind": "number", "gold": "7", "trace": THINKING},
    {"kind": "number", "gold": "7", "trace": "<think>3 + 4 = 7, so 7"},
    {"kind": "number", "gold": "7", "trace": "The answer is 7.", "steps": ["3 + 4 = 8", "8 - 1 = 7"]},
    {"kind": None, "gold": "1/2", "trace": "So it is \\boxed{0.5}."},
    {"kind": "expression", "gold": "x^2 + 2x + 1", "trace": "(x+1)^2 it is: \\boxed{(x+1)^2}"},
    {"kind": "choice", "gold": "B", "trace": "The answer is (B)."},
    {"kind": "boolean", "gold": "yes", "trace": "It is not. The answer is no."},
    {"kind": "text", "gold": "Paris", "trace": "The answer is Paris."},
    {"kind": "text", "gold": "the city of Paris", "trace": "The answer is the town on the Seine."},
    {"kind": "code", "gold": "assert double(2) == 4", "trace": PROGRAM.format("x * 2")},
    {"kind": "code", "gold": "assert double(3) == 6", "trace": PROGRAM.format("x ** 2")},
    {"kind": "number", "gold": None, "trace": "3 + 4 = 7.\nThe answer is 7."},
    {"kind": "text", "gold": None, "trace": THINKING},
    {**PUZZLE, "trace": f"We fill it in.\nThe answer is:\n{LINES}"},
    {**PUZZLE, "trace": "We fill it in.\nThe answer is 4."},
]
#: Columns of `verdicts` and the equal fields of a file's row.
SAME = ("correct", "kind", "first_error", "faithfulness", "coherence", "error", *SCORE_FIELDS)


@pytest.fixture
def judge(clean: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A scripted judge whose ratings depend on the whole prompt."""
    with scripted_judge(of_known_quality(0.8)) as server:
        config = tmp_path / "tracemill.toml"
        config.write_text(f'[models.judge]\nengine = "openai"\nmodel = "judge"\nbase_url = "{server.base_url}"\n')
        monkeypatch.setenv("TRACEMILL_CONFIG", str(config))
        forget()
        worker_job.cache_clear()
        yield "judge"
        close_engines()
    monkeypatch.undo()
    forget()


def scoring(row: dict[str, Any]) -> Scoring | None:
    return Scoring(**row["scorer"]) if "scorer" in row else None


def by_task(judge: str) -> list[dict[str, Any]]:
    """The stored verdicts of the task."""
    questions = [
        Question(row["question"], row["gold"], "math", row["kind"], {}, None, scoring(row)) for row in NUMBERED
    ]
    signals = ("rating", "coherence", "agreement")
    uninformative = {"agreement": "not calibrated"}
    policy = Policy(judge=judge, judge_refused=True, signals=signals, uninformative=uninformative)  # type: ignore[arg-type]
    job_id = fill(questions, "same", samples=1, policy=policy).job_id
    ids = [row.id for row in rows("select id from questions where dataset = 'same' order by id")]
    with transaction() as connection:
        for question_id, row in zip(ids, NUMBERED, strict=True):
            link = Link(Call("answer", ASK), Completion(row["trace"], 1, "stop"), 1, 0.0, 0.1, 0.1)
            written = trace_row(Answer(Slot("", 0), (link,)), named("cot"), row["kind"] or "number")
            written |= {"steps": [{"text": step} for step in row.get("steps", ())]}
            written |= {"job_id": job_id, "question_id": question_id, "worker": "test"}
            connection.execute(Q["insert_traces"], {"rows": json.dumps([written])})
    with transaction() as connection:
        connection.exec_driver_sql("update job_questions set state = 'generated'")
    verify(job_id, ids)
    stored = rows("select to_jsonb(v) from verdicts v join traces t on t.id = v.trace_id order by t.question_id")
    return [row[0] for row in stored]


def by_file(judge: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of the file command."""
    path = folder / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in NUMBERED))
    with closing(Verifier(2, judge)) as verifier:
        return [done.row or {} for batch in verified(Input(str(path)).lines(), verifier) for done in batch]


#: Each with another question.
NUMBERED = [row | {"question": ADD.format(number)} for number, row in enumerate(TRACES)]


def test_the_task_and_the_file_command_give_the_same_verdicts(judge: str, tmp_path: Path) -> None:
    stored, written = by_task(judge), by_file(judge, tmp_path)
    assert len(stored) == len(written) == len(TRACES)
    for trace, column, field in zip(TRACES, stored, written, strict=True):
        assert field["ungrounded"] is not None, field
        counts = {"ungrounded": len(field["ungrounded"])}
        equations = {"equations_checked": column["equations_checked"], "equations_false": column["equations_false"]}
        if field["answer"] is None:  # the task verifies answers only
            field["coherence"] = None
        expected = {name: pytest.approx(field[name]) for name in SAME} | counts
        assert {name: column[name] for name in SAME} == expected, trace
        assert list(equations.values()) == list(field["equations"].values()), trace
        assert column["steps"] == len(field["steps"]), trace
        if trace["gold"]:
            assert column["proof"] == field["proof"], trace
        else:  # a sample of a question has a vote, a row of a file has none
            assert (column["proof"], field["proof"]) == ("majority 1/1", "no gold answer")
        if field["agreement"] is not None:
            assert column["signals"]["agreement"] == pytest.approx(field["agreement"]), trace
    assert {row["correct"] for row in stored} == {True, False, None}
    assert [(row["correct"], row["proof"][:20]) for row in stored[-2:]] == [
        (True, "reasoning_gym scored"),
        (False, "reasoning_gym scored"),
    ]
    assert sum(row["faithfulness"] is not None for row in stored) > 8
    assert sum(row["agreement"] is not None for row in written) == 1
