"""The OpenAI engine with vLLM's server and the real small model on CPU gives the answers of vLLM in process.

The engines run one after the other, with one request at a time. In bfloat16 the order of additions in a batch can
swap two tokens of nearly the same probability.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tracemill.engines import Completion, Engine, Generation, Sampling, Score
from tracemill.engines.openai import OpenaiEngine
from tracemill.engines.plugin import OWNER
from tracemill.engines.vllm import VllmEngine
from tracemill.event_loop import run
from tracemill.model_settings import EMBEDDED_MODEL, ModelSettings
from tracemill.prompts import Message
from tracemill.stack.state import free_port
from tracemill.weights import resolve

pytestmark = pytest.mark.integration

QUESTIONS = (
    "What is 2 + 2?",
    "What is 17 + 25? Think step by step.",
    "Is the sky blue? Answer with one word.",
    "Why do leaves fall in autumn?",
    "Write a Python function that adds two numbers.",
    "Tom has 3 bags of 4 apples. How many apples are there?",
    "Name the largest planet.",
    "Explain in one sentence what a contract is.",
)
GREEDY = Sampling(temperature=0, max_tokens=40, logprobs=5)


def user_message(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]


def answers(engine: Engine) -> list[Generation]:
    return [run(engine.generate(user_message(question), 1, GREEDY)) for question in QUESTIONS]


def score(engine: Engine) -> Score | None:
    return run(engine.score(user_message(QUESTIONS[0]), "The answer is 4."))


@pytest.fixture(scope="module")
def in_process(models: Path) -> tuple[list[Generation], Score | None]:
    """The answers and the score of vLLM in process."""
    engine = VllmEngine(ModelSettings(model=EMBEDDED_MODEL, vllm={"max_model_len": 512, "kv_cache_gib": 0.5}), models)
    try:
        return answers(engine), score(engine)
    finally:
        run(engine.close())


@pytest.fixture(scope="module")
def address(models: Path, in_process: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of vLLM's server, started when the engine in process has ended."""
    port = free_port()
    arguments = {
        "model": resolve(EMBEDDED_MODEL, models),
        "served-model-name": "small",
        "host": "127.0.0.1",
        "port": str(port),
        "dtype": "bfloat16",
        "max-model-len": "512",
        "block-size": "32",
    }
    # Without the owner's variable this server is independent. It inherits the settings of the cores.
    environment = {name: value for name, value in os.environ.items() if name != OWNER}
    log = tmp_path_factory.mktemp("server") / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--enforce-eager"]
            # On some processors a prompt out of the cache gives log-probabilities that differ by 0.06.
            + ["--no-enable-prefix-caching"]
            + [word for name, value in arguments.items() for word in (f"--{name}", value)],
            cwd=ROOT,
            env=environment | {"VLLM_CPU_KVCACHE_SPACE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            wait_until_up(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def wait_until_up(health: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 240
    while True:
        assert server.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)


@pytest.fixture(params=[False, True], ids=["at once", "streamed"])
def over_http(address: str, request: pytest.FixtureRequest) -> Iterator[OpenaiEngine]:
    engine = OpenaiEngine(
        ModelSettings(engine="openai", model="small", openai={"base_url": address, "stream": request.param})
    )
    yield engine
    run(engine.close())


def test_a_server_of_vllm_answers_as_vllm_in_process(
    in_process: tuple[list[Generation], Score | None], over_http: OpenaiEngine
) -> None:
    expected = in_process[0]
    actual = answers(over_http)
    assert [generation.tokens_in for generation in actual] == [generation.tokens_in for generation in expected]
    for first, second in zip(actual, expected, strict=True):
        same(first.completions[0], second.completions[0])


def same(first: Completion, second: Completion) -> None:
    assert (first.text, first.tokens, first.finish_reason) == (second.text, second.tokens, second.finish_reason)
    assert first.logprobs is not None
    assert second.logprobs is not None
    assert first.logprobs.chosen == second.logprobs.chosen
    for mine, theirs in zip(first.logprobs.logprobs, second.logprobs.logprobs, strict=True):
        assert mine == pytest.approx(theirs, abs=0.02)


def test_it_gives_the_requested_number_of_samples(over_http: OpenaiEngine) -> None:
    sampling = Sampling(temperature=1, max_tokens=12, logprobs=3)
    completions = run(over_http.generate(user_message(QUESTIONS[3]), 4, sampling)).completions
    assert len(completions) == len({completion.text for completion in completions}) == 4
    for completion in completions:
        assert completion.logprobs is not None
        assert len(completion.logprobs.chosen) == completion.tokens == 12


def test_it_scores_as_vllm_in_process(
    in_process: tuple[list[Generation], Score | None], over_http: OpenaiEngine
) -> None:
    expected, actual = in_process[1], score(over_http)
    assert expected is not None
    assert actual is not None
    assert actual.tokens == expected.tokens
    assert actual.logprob == pytest.approx(expected.logprob, abs=0.3)
