"""A loop on the student's own samples: real tasks and database, an engine of bytes, and nothing is fitted."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from db.session import transaction
from tests.conftest import forget, stop_threads
from tests.integration.factory import change, rows, value, wait_until
from tests.integration.players import fit_nothing
from tests.integration.rounds import finish, job, question, round_spec, trace
from tests.integration.visits import work
from tracemill.engines import Completion, Generation, Sampling, Written, registry
from tracemill.errors import UsageError
from tracemill.logprobs import TopK, decode
from tracemill.prompts import Message
from tracemill.stack import Stack
from trainer import loop_service, objectives, service
from trainer.fit import round_examples
from trainer.loop import LoopSpec
from trainer.loops import open_loop
from trainer.submit import queue_round
from workers.generate import generate
from workers.job import worker_job
from workers.verify import verify

pytestmark = pytest.mark.integration

MODELS = {
    "student": {"vllm": {"adapters": True}},
    "teacher": {"vllm": {"max_model_len": 512}},
    "elsewhere": {"engine": "openai", "openai": {"base_url": "http://127.0.0.1:9/v1"}},
}
QUESTIONS, SAMPLES, END = 3, 2, 257


class Bytes:
    """A model whose tokens are bytes. Of its samples of a question the first is right."""

    stalled_seconds, max_sequences = 0.0, 64

    def __init__(self) -> None:
        #: The adapter and the last message of each sample, and the last message before each scored answer.
        self.sampled: list[tuple[str | None, str]] = []
        self.scored: list[str] = []
        #: The answers among them that were given as text.
        self.read: list[Written] = []

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        number = int("".join(filter(str.isdigit, messages[-1]["content"])))
        self.sampled += [(str(adapter) if adapter else None, messages[-1]["content"])] * n
        texts = [f"{number} + 1 = {number + 1 + index}. The answer is {number + 1 + index}." for index in range(n)]
        return Generation(tuple(self._completion(text, sampling.logprobs) for text in texts), 10, 0.1)

    def _completion(self, text: str, k: int) -> Completion:
        ids = [*text.encode(), END]
        logprobs = TopK.of((token, {token: -0.125}) for token in ids) if k else None
        return Completion(text, len(ids), "stop", logprobs=logprobs)

    async def score_tokens(self, messages: list[Message], answer: Sequence[int] | Written, sampling: Sampling) -> TopK:
        assert sampling.logprobs == 20
        self.scored.append(messages[-1]["content"])
        if isinstance(answer, Written):
            self.read.append(answer)
            answer = answer.text.encode()
        return TopK.of((token, {token: -0.5, token + 1: -1.0}) for token in answer)

    async def close(self) -> None: ...


@pytest.fixture
def engines(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Bytes]]:
    """The engines of student and teacher, and a finished evaluation of the student."""
    monkeypatch.setenv("TRACEMILL_MODELS", json.dumps(MODELS))
    forget()
    worker_job.cache_clear()
    engines = {"student": Bytes(), "teacher": Bytes()}
    for alias, engine in engines.items():
        monkeypatch.setitem(registry._engines, registry.engine_key(alias), engine)
    monkeypatch.setattr(service, "run_in_child", fit_nothing)
    monkeypatch.setattr(service, "POLL_SECONDS", 0.05)
    with transaction() as connection:
        ids = [question(connection, f"What is {n} + 50?") for n in range(2)]
        before = job(connection, "before", ids, evaluate=True)
        for question_id in ids:
            trace(connection, before, question_id, "?", accepted=False)
        finish(connection, before)
    yield engines
    stop_threads()
    monkeypatch.undo()
    forget()


def opened(folder: Path, objective: str, **changes: Any) -> int:
    """The id of a new loop of two rounds."""
    sums = [{"question": f"How much is {n} and one more?", "gold": str(n + 1)} for n in range(1, QUESTIONS + 1)]
    (folder / "sums.jsonl").write_text("\n".join(map(json.dumps, sums)))
    content = {
        "name": "own",
        "rounds": 2,
        "attempt": {"source": str(folder / "sums.jsonl"), "samples": SAMPLES},
        "fit": {"objective": objective},
        "evaluate": {"jobs": ["before"]},
    }
    return open_loop(LoopSpec.model_validate(content | changes), folder).id


def step(loop_id: int) -> tuple[str, int, str]:
    """Make a step; return the loop's step, its round and the job or round that it waits for."""
    loop_service.make_step(loop_id)
    (row,) = rows("select step, round, awaits, error from loops")
    assert row.error is None
    return row.step, row.round, row.awaits


def train(name: str) -> None:
    """Run a round to its end, with its evaluation."""
    with ThreadPoolExecutor(1) as trainer:
        running = trainer.submit(service.run_round, value("select id from rounds where name = :name", name=name))
        wait_until(lambda: value("select count(*) from jobs where name = :job", job=f"{name}/before") == 1, 60, str)
        work(f"{name}/before")
        running.result()
    assert value("select coalesce(error, state) from rounds where name = :name", name=name) == "done"


def test_each_round_learns_from_scored_samples_of_its_own_adapter(engines: dict[str, Bytes], tmp_path: Path) -> None:
    loop_id = opened(tmp_path, "on_policy")
    for number in (1, 2):
        work(f"own-{number}-attempt")
        assert step(loop_id) == ("score", number, f"own-{number}-score")
        work(f"own-{number}-score")
        assert step(loop_id) == ("train", number, f"own-{number}")
        train(f"own-{number}")
        loop_service.make_step(loop_id)
    assert value("select ended from loops") == "all 2 rounds are done"

    jobs = rows(
        "select j.name, j.model, r.name as adapter, j.scores, j.sampling ->> 'logprobs' as logprobs "
        "from jobs j left join rounds r on r.id = j.round_id where j.purpose = 'round' order by j.id"
    )
    assert [tuple(row) for row in jobs] == [
        ("own-1-attempt", "student", None, None, "1"),
        ("own-1-score", "teacher", None, "tokens", "20"),
        ("own-2-attempt", "student", "own-1", None, "1"),
        ("own-2-score", "teacher", None, "tokens", "20"),
    ]
    assert [row.start for row in rows("select spec ->> 'start' as start from rounds order by id")] == [None, "own-1"]
    # Each sample is an example of its round, as the teacher scored it.
    scored = rows("select text, training_use from trace_scores where job = 'own-2-score' order by text")
    assert [tuple(row) for row in scored] == [
        (row.text, "round") for row in rows("select text from trace_scores where job = 'own-2-attempt' order by text")
    ]
    examples = examples_of("own-2", "on_policy")
    assert sorted(example.text for example in examples) == [row.text for row in scored]
    for example in examples:
        top = decode(example.logprobs or b"")
        assert bytes(top.chosen[:-1]).decode() == example.text
        assert set(top.logprobs) == {(-0.5, -1.0)}


def examples_of(name: str, objective: str) -> list[objectives.Example]:
    with transaction() as connection:
        round_id = value("select id from rounds where name = :name", name=name)
        return round_examples(connection, round_id, objectives.find(objective))


def test_the_teacher_of_self_distillation_is_the_base_model_with_the_answer(
    engines: dict[str, Bytes], tmp_path: Path
) -> None:
    loop_id = opened(tmp_path, "self_distill")
    work("own-1-attempt")
    step(loop_id)
    work("own-1-score")
    student = engines["student"]
    assert engines["teacher"].scored == []
    assert all("Correct answer" not in prompt for _, prompt in student.sampled)
    assert sorted(student.scored) == sorted(
        f"How much is {n} and one more?\n\n[Correct answer, for your eyes only: {n + 1}]"
        for n in range(1, QUESTIONS + 1)
        for _ in range(SAMPLES)
    )


def test_a_teacher_of_other_tokens_scores_the_text_of_each_sample(engines: dict[str, Bytes], tmp_path: Path) -> None:
    loop_id = opened(tmp_path, "gold")
    work("own-1-attempt")
    step(loop_id)
    work("own-1-score")
    attempts = rows("select text from trace_scores where job = 'own-1-attempt' order by text")
    assert sorted(engines["teacher"].read) == [(row.text, True) for row in attempts]
    assert value("select min(tokens) from trace_logprobs l join traces t on t.id = l.trace_id "
                 "join jobs j on j.id = t.job_id where j.name = 'own-1-score'") == len(attempts[0].text)  # fmt: skip


def test_the_advantage_of_a_sample_is_its_verdict_minus_the_mean(engines: dict[str, Bytes], tmp_path: Path) -> None:
    loop_id = opened(tmp_path, "grpo", attempt={"source": str(tmp_path / "sums.jsonl"), "samples": 4})
    work("own-1-attempt")
    assert step(loop_id)[0] == "train"
    train("own-1")
    by_text = {example.text: example.advantage for example in examples_of("own-1", "grpo")}
    assert {text: advantage for text, advantage in by_text.items() if text.startswith("1 +")} == {
        "1 + 1 = 2. The answer is 2.": 0.75,
        "1 + 1 = 3. The answer is 3.": -0.25,
        "1 + 1 = 4. The answer is 4.": -0.25,
        "1 + 1 = 5. The answer is 5.": -0.25,
    }


def test_nothing_is_sampled_or_scored_twice_after_a_crash(
    engines: dict[str, Bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop_id = opened(tmp_path, "on_policy")
    crash_half_way("own-1-attempt")
    work("own-1-attempt")
    with monkeypatch.context() as dying:
        dying.setattr(loop_service, "_move", die)
        with pytest.raises(SystemExit):
            loop_service.make_step(loop_id)
    assert value("select count(*) from jobs where purpose = 'round'") == 1
    step(loop_id)
    crash_half_way("own-1-score")
    work("own-1-score")
    assert step(loop_id)[0] == "train"
    assert len(engines["student"].sampled) == len(engines["teacher"].scored) == QUESTIONS * SAMPLES
    assert value("select count(*) from traces t join jobs j on j.id = t.job_id where purpose = 'round'") == 12


def crash_half_way(name: str) -> None:
    """Answer one question of a job; of a second one the worker has stored its answers when it dies."""
    job_id = value("select id from jobs where name = :name", name=name)
    first, second, *_ = rows("select question_id from job_questions where job_id = :id order by 1", id=job_id)
    generate(job_id, [first.question_id])
    verify(job_id, [first.question_id])
    generate(job_id, [second.question_id])
    # As after kill -9 between the stored answers and the next state.
    change(
        "update job_questions set state = 'pending', owner = null, claim_id = null, lease_until = null "
        "where job_id = :job and question_id = :question",
        job=job_id,
        question=second.question_id,
    )


def die(*_: object, **__: object) -> None:
    raise SystemExit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "none"}, "start: there is no round 'none'"),
        ({"fit": {"objective": "on_policy", "on_policy": {"teacher": "elsewhere"}}}, "cannot score the tokens"),
        ({"fit": {"objective": "on_policy", "on_policy": {"teacher": "unknown"}}}, "unknown"),
    ],
)
def test_a_loop_whose_samples_cannot_be_scored_stores_no_question(
    engines: dict[str, Bytes], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    before = value("select count(*) from questions")
    with pytest.raises(UsageError, match=message):
        opened(tmp_path, "on_policy", **changes)
    assert value("select count(*) from questions") == before


def test_an_adapter_of_another_rank_is_not_continued(engines: dict[str, Bytes], tmp_path: Path) -> None:
    loop_id = opened(tmp_path, "grpo", rounds=1)
    work("own-1-attempt")
    step(loop_id)
    with pytest.raises(UsageError, match="start: round 'own-1' has no adapter"):
        opened(tmp_path, "grpo", name="next", start="own-1")
    train("own-1")
    with pytest.raises(UsageError, match=r"has fit\.lora_rank = 16, and this round has 8"):
        opened(tmp_path, "grpo", name="next", start="own-1", fit={"objective": "grpo", "lora_rank": 8})
    opened(tmp_path, "grpo", name="next", start="own-1")
    work("next-1-attempt")
    assert {adapter for adapter, _ in engines["student"].sampled[-QUESTIONS * SAMPLES :]} == {
        value("select adapter_path from rounds where name = 'own-1'")
    }


def test_a_round_on_own_words_takes_no_traces_of_a_teacher(engines: dict[str, Bytes]) -> None:
    with transaction() as connection:
        job(connection, "teach", [question(connection, "What is 1 + 1?")])
    with pytest.raises(UsageError, match="learns from samples of the student itself, and job 'teach' has none"):
        queue_round(round_spec(fit={"objective": "on_policy"}))
