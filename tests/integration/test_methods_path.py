"""Each method through generate and verify into the tables. The scripted model answers by its prompt."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.integration.factory import rows, states, value
from tests.integration.visits import in_this_process, work
from tests.scripted_server import ScriptedServer
from tracemill.logprobs import ENCODING, decode
from tracemill.stack import Stack

QUESTION = "Ann has 3 bags of 4 apples and eats 2. How many are left?"
RIGHT = "She has 3 * 4 = 12 apples. 12 - 2 = 10 are left. The answer is 10."
WRONG = "She has 3 * 4 = 12 apples. 12 + 2 = 14 are left. The answer is 14."


class Model(ScriptedServer):
    """Answers by the conversation: `script` gets the messages."""

    def __init__(self) -> None:
        super().__init__(lambda _: RIGHT)
        self.script: Callable[[list[dict[str, str]]], str] = lambda messages: RIGHT

    def _completion(self, request_body: dict[str, Any]) -> dict[str, Any]:
        self.answer = lambda _: [self.script(request_body["messages"]) for _ in range(request_body["n"])]
        self._turn = itertools.count()
        return super()._completion(request_body)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model() as server:
        yield server


@pytest.fixture
def database(clean: Stack, model: Model, tmp_path: Path) -> Iterator[Stack]:
    model.script = lambda messages: RIGHT
    with in_this_process(clean, model, tmp_path) as stack:
        yield stack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "apples.jsonl"
    path.write_text(json.dumps({"question": QUESTION, "gold": "10"}) + "\n")
    return path


def enqueue(source: str | Path, method: str, *options: str, name: str = "") -> str:
    name = name or method
    done = CliRunner().invoke(app, ["enqueue", str(source), "--method", method, "--name", name, *options])
    assert done.exit_code == 0, done.output + str(done.exception)
    return name


def scores(job: str) -> list[Any]:
    return rows("select * from trace_scores where job = :job order by sample_index, variant", job=job)


def test_explain_asks_every_question_in_four_styles(database: Stack, source: Path, model: Model) -> None:
    styles: list[str] = []
    model.script = lambda messages: styles.append(messages[0]["content"]) or RIGHT
    work(enqueue(source, "explain", "--samples", "2"))
    results = scores("explain")
    assert [(row.variant, row.sample_index) for row in results] == [
        (variant, number) for number in (0, 1) for variant in ("critic", "expert", "steps", "teacher")
    ]
    assert len(set(styles)) == 4
    assert len({row.prompt_hash for row in results}) == 4
    assert all(row.accepted for row in results)
    assert states("explain") == {"done": 1}


def test_refine_stores_every_stage_and_their_total_cost(database: Stack, source: Path, model: Model) -> None:
    def script(messages: list[dict[str, str]]) -> str:
        prompt = " ".join(message["content"] for message in messages)
        if "Adding is wrong here." in prompt:
            return RIGHT
        return "Adding is wrong here." if WRONG in prompt else WRONG

    model.script = script
    work(enqueue(source, "refine", "--samples", "3"))
    for row in scores("refine"):
        assert [(call["call"], call["text"]) for call in row.calls] == [
            ("draft", WRONG),
            ("critique", "Adding is wrong here."),
        ]
        assert (row.text, row.answer, row.correct, row.accepted) == (RIGHT, "10", True, True)
        assert row.tokens_out == len(RIGHT.split()) + sum(call["tokens_out"] for call in row.calls)
        assert row.tokens_in > sum(call["tokens_in"] for call in row.calls) > 0
        assert row.cost > 0
        assert row.engine_seconds > 0


def test_rationalize_asks_failed_questions_and_rejects_leaked_hints(
    database: Stack, source: Path, model: Model
) -> None:
    model.script = lambda messages: WRONG
    work(enqueue(source, "cot", "--samples", "2"))
    texts = iter([RIGHT, f"As the hint says, the answer is 10. {RIGHT}"])

    def script(messages: list[dict[str, str]]) -> str:
        assert any("10" in message["content"] for message in messages)  # the gold answer is in the prompt
        return next(texts)

    model.script = script
    work(enqueue("job:cot?failed", "rationalize", "--samples", "2"))
    plain, betraying = scores("rationalize")
    assert (plain.correct, plain.accepted, plain.refused) == (True, True, None)
    assert (betraying.correct, betraying.accepted) == (True, False)
    assert "hint" in betraying.refused
    nothing = CliRunner().invoke(app, ["enqueue", "job:cot?accepted", "--name", "none"])
    assert "no readable question" in str(nothing.exception)


def test_rationalizing_questions_without_gold_is_refused_before_any_is_stored(
    database: Stack, tmp_path: Path, model: Model
) -> None:
    path = tmp_path / "open.jsonl"
    path.write_text(json.dumps({"question": QUESTION}) + "\n")
    refused = CliRunner().invoke(app, ["enqueue", str(path), "--method", "rationalize"])
    assert "none of its first 1 questions has a gold answer" in str(refused.exception)
    assert value("select count(*) from questions") == 0
    enqueue(path, "cot")
    refused = CliRunner().invoke(app, ["enqueue", "job:cot", "--method", "rationalize"])
    assert "none of its questions has a gold answer, and method rationalize needs one" in str(refused.exception)
    assert value("select count(*) from jobs") == 1


def test_rationalizing_leaves_out_the_questions_without_gold(database: Stack, tmp_path: Path, model: Model) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(json.dumps({"question": QUESTION, "gold": "10"}) + "\n" + json.dumps({"question": "Why?"}) + "\n")
    done = CliRunner().invoke(app, ["enqueue", str(path), "--method", "rationalize", "--json"])
    assert json.loads(done.stdout.splitlines()[-1]) | {"job": ""} == {
        "job": "",
        "questions": 1,
        "new": 1,
        "left_out": 1,
    }
    assert "some.jsonl:2: it has no gold answer, and method rationalize needs one" in done.stderr


def test_inject_gives_the_student_an_accepted_trace_of_the_teacher(database: Stack, source: Path, model: Model) -> None:
    texts = iter([WRONG, f"<think>Perhaps 77?</think>{RIGHT}"])
    model.script = lambda messages: next(texts)
    work(enqueue(source, "cot", "--samples", "2"))
    seen: list[str] = []
    model.script = lambda messages: seen.append(str(messages)) or RIGHT
    work(enqueue(source, "cot", "--samples", "1", "--model", "student", name="alone"))
    work(enqueue("job:cot", "inject", "--samples", "1", "--model", "student", name="helped"))
    assert RIGHT not in seen[0]
    assert RIGHT in seen[1]
    assert WRONG not in seen[1]
    assert "77" not in seen[1]
    both = rows(
        "select a.correct as alone, h.correct as helped from trace_scores a join trace_scores h using (question_id) "
        "where a.job = 'alone' and h.job = 'helped'"
    )
    assert both == [(True, True)]
    refused = CliRunner().invoke(app, ["enqueue", str(source), "--method", "inject", "--name", "nothing"])
    assert "name it as the source, job:NAME" in str(refused.exception)


def test_contrast_accepts_only_wrong_answers_and_no_round_learns_from_them(
    database: Stack, source: Path, model: Model
) -> None:
    texts = iter([WRONG, RIGHT, f"{WRONG} This is wrong on purpose.", "no idea"])
    model.script = lambda messages: next(texts)
    work(enqueue(source, "contrast", "--samples", "1"))
    results = {row.text: (row.negative, row.correct, row.accepted) for row in scores("contrast")}
    assert results[WRONG] == (True, False, True)
    assert results[RIGHT] == (True, True, False)
    assert [accepted for _, _, accepted in results.values()].count(True) == 1
    assert value("select count(*) from trace_scores where accepted and not negative") == 0


def test_stepwise_stores_step_by_step_and_keeps_label_and_rationale_apart(
    database: Stack, source: Path, model: Model
) -> None:
    model.script = lambda messages: "Step 1: 3 * 4 = 12 apples\nStep 2: 12 - 2 = 10 are left\nThe answer is 10."
    work(enqueue(source, "stepwise", "--samples", "1"))
    steps = value("select steps from traces")
    reasoning, answer = rows("select reasoning, answer from trace_scores")[0]
    assert [(step["number"], step["result"]) for step in steps] == [(1, "12"), (2, "10")]
    assert "The answer is" not in reasoning
    assert answer == "10"
    assert [row.accepted for row in scores("stepwise")] == [True]


def test_a_question_gets_its_domains_prompt_unless_the_job_sets_another(
    database: Stack, tmp_path: Path, model: Model
) -> None:
    path = tmp_path / "mixed.jsonl"
    domains = ("math", "legal", "medical", "cooking")
    path.write_text("".join(json.dumps({"question": f"{d}?", "gold": "10", "domain": d}) + "\n" for d in domains))
    prompts: dict[str, str] = {}
    model.script = lambda messages: (
        prompts.update({messages[-1]["content"].split("\n")[0]: messages[0]["content"]}) or RIGHT
    )
    work(enqueue(path, "cot", "--samples", "1", "--map", "domain=domain"))
    assert r"\boxed{}" in prompts["math?"]
    assert "cite" in prompts["legal?"]
    assert "no medical advice" in prompts["medical?"]
    assert len(set(prompts.values())) == 4  # an unknown domain uses the general prompt
    work(enqueue(path, "cot", "--samples", "1", "--ask-as", "legal", name="lawyers"))
    assert len(set(prompts.values())) == 1


def test_thoughts_are_kept_apart_from_the_answer_and_counted(database: Stack, source: Path, model: Model) -> None:
    model.script = lambda messages: f"<think>Perhaps 14? No, {RIGHT}</think>\nThe answer is 10."
    work(enqueue(source, "cot", "--samples", "1"))
    result = scores("cot")[0]
    assert (result.text, result.thoughts) == ("The answer is 10.", f"Perhaps 14? No, {RIGHT}")
    assert result.reasoning == result.thoughts
    assert result.answer == "10"
    stored = rows("select text, thoughts, answer_text, reasoning from traces")[0]
    assert stored.text.startswith("<think>Perhaps 14?")
    assert (stored.thoughts, stored.answer_text, stored.reasoning) == (None, None, None)  # no second copy
    assert 0 < result.thinking_tokens < result.tokens_out


def test_one_call_of_a_chain_that_fails_costs_its_own_sample_alone(database: Stack, source: Path, model: Model) -> None:
    calls: list[str] = []

    def script(messages: list[dict[str, str]]) -> str:
        calls.append(messages[-1]["content"])
        if len(calls) == 3:  # the first critique
            raise RuntimeError("scripted to fail")
        return RIGHT

    model.script = script
    work(enqueue(source, "refine", "--samples", "2"))
    assert states("refine") == {"done": 1}
    assert [row.sample_index for row in scores("refine")] == [0, 1]


def test_the_likeliest_tokens_are_stored_on_request(database: Stack, source: Path) -> None:
    work(enqueue(source, "cot", "--samples", "2", "--logprobs", "3"))
    kept = rows(
        "select l.top_k, l.tokens, l.encoding, l.payload, t.tokens_out from trace_logprobs l "
        "join traces t on t.id = l.trace_id"
    )
    assert len(kept) == 2
    for row in kept:
        top = decode(row.payload)
        assert (row.top_k, row.encoding) == (3, ENCODING)
        assert row.tokens == row.tokens_out == len(top.chosen)
        assert all(len(logprobs) >= 3 and list(logprobs) == sorted(logprobs, reverse=True) for logprobs in top.logprobs)
    work(enqueue(source, "cot", "--samples", "2", name="plain"))
    assert value("select count(*) from trace_logprobs") == 2
