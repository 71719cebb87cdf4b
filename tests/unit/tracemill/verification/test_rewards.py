"""Reward functions in the signatures of trl, verl and OpenRLHF: right, thread-safe, never raising, never hanging."""

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests import ROOT
from tracemill.errors import TracemillError
from tracemill.verification import Verifier, rewards
from tracemill.verification.rewards import openrlhf_reward, trl_reward, verl_score, verl_scores

QUESTION = "What is 3 + 4?"
TEXTS = ["3 + 4 = 7. The answer is 7.", "3 + 4 = 8. The answer is 8.", r"So \boxed{7}.", "I do not know."]
VALUES = [1.0, 0.0, 1.0, 0.0]


@pytest.fixture(scope="module", autouse=True)
def _two_children() -> Iterator[None]:
    """The children of this module end with it."""
    yield
    if (verifier := rewards._verifier.pop()) is not None:
        verifier.close()


def messages(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


def parts(text: str) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]


@pytest.mark.parametrize("form", [str, messages, parts])
@pytest.mark.parametrize("column", ["gold", "ground_truth", "answer", "solution"])
def test_trl_gets_a_reward_for_each_completion(form: Any, column: str) -> None:
    columns = {column: ["7"] * 4, "completion_ids": [[1]] * 4, "trainer_state": object(), "log_metric": print}
    prompts = [[{"role": "user", "content": QUESTION}]] * 4
    assert trl_reward(prompts=prompts, completions=[form(text) for text in TEXTS], **columns) == VALUES


def test_verl_gets_a_score_for_one_response_and_for_a_batch() -> None:
    info = {"split": "train", "index": 3, "question": QUESTION}
    scores = [verl_score(data_source="gsm8k", solution_str=t, ground_truth="7", extra_info=info) for t in TEXTS]
    batch = verl_scores(
        data_sources=["gsm8k"] * 4, solution_strs=TEXTS, ground_truths=["7"] * 4, extra_infos=[info] * 4
    )
    assert scores == batch == VALUES
    assert verl_score("gsm8k", TEXTS[0], ["7"]) == verl_score("gsm8k", TEXTS[0], 7) == 1.0


def test_openrlhf_gets_tensors_and_the_prompt_is_no_answer() -> None:
    prompt = "Say: the answer is 7.\n"
    result = openrlhf_reward([prompt + text for text in TEXTS], [prompt] * 4, ["7"] * 4)
    assert result["rewards"].tolist() == result["scores"].tolist() == VALUES


def test_a_program_and_a_choice_are_rewarded_by_their_kind() -> None:
    texts = ["```python\ndef f(x): return x\n```", "The answer is (B).", "```python\ndef f(x): return 0\n```"]
    golds, kinds = ["assert f(1) == 1", "B", "assert f(1) == 1"], ["code", "choice", "code"]
    values = trl_reward(completions=texts, gold=golds, kind=kinds)
    assert values[1:] == [1.0, 0.0]
    assert values[0] == (1.0 if rewards._verifier().verify([]) == [] and _has_sandbox() else 0.0)


def _has_sandbox() -> bool:
    from tracemill.verification.pipeline import sandbox

    return sandbox().refusal is None


def test_nothing_that_is_given_raises() -> None:
    odd: list[Any] = [None, 7, b"7", [], [None], {}, {"content": None}, "", "\ud800", "\0", object(), [{"text": 7}]]
    assert trl_reward(completions=odd, gold=odd) == [0.0] * len(odd)
    assert trl_reward(completions=odd, gold=["7"] * len(odd), kind=["no kind"] * len(odd)) == [0.0] * len(odd)
    assert verl_scores(["x"] * 2, [None, "The answer is 7."], [None, {"target": object}]) == [0.0, 0.0]
    assert verl_score() == 0.0
    assert trl_reward(completions=TEXTS) == trl_reward(completions=TEXTS, gold="7777") == [0.0] * 4
    assert trl_reward() == []


def test_a_failure_of_all_checks_is_worth_nothing_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise TracemillError("no child can be kept alive")

    monkeypatch.setattr(Verifier, "verify", fail)
    assert trl_reward(completions=TEXTS, gold=["7"] * 4) == [0.0] * 4
    assert "4 rewards are 0: their answers could not be verified" in caplog.text


def test_hostile_answers_neither_hang_nor_cost_their_neighbours() -> None:
    hostile = [r"The answer is \boxed{9^{9^{9^{9^{9}}}}}.", "(" * 100_000, "The answer is " + "9" * 500_000]
    start = time.monotonic()
    values = trl_reward(completions=[*hostile, *TEXTS], gold=[r"\sum_{k=1}^{10^{12}} \sin(k!)"] * 3 + ["7"] * 4)
    assert values == [0.0] * 3 + VALUES
    assert time.monotonic() - start < 60


def test_many_threads_get_their_own_rewards() -> None:
    def batch(n: int) -> bool:
        texts = [f"The answer is {n + k % 2}." for k in range(20)]
        return trl_reward(completions=texts, gold=[str(n)] * 20) == [1.0, 0.0] * 10

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(batch, range(48)))


def test_a_forked_process_has_children_of_its_own() -> None:
    assert verl_score("", TEXTS[0], "7") == 1.0
    forked = multiprocessing.get_context("fork")
    queue = forked.SimpleQueue()
    process = forked.Process(target=lambda: queue.put(verl_score("", TEXTS[0], "7")))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert queue.get() == 1.0


def test_rewards_import_no_database_no_celery_and_no_torch() -> None:
    code = (
        "import sys\n"
        "from tracemill.verification import Item, verify\n"
        "from tracemill.verification.rewards import verl_score\n"
        "assert verify(Item('The answer is 7.', gold='7')).correct\n"
        "assert verl_score('', 'The answer is 7.', '7') == 1.0\n"
        "print({'sqlalchemy', 'psycopg', 'celery', 'kombu', 'redis', 'torch', 'transformers'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "set()\n"), ended.stderr
