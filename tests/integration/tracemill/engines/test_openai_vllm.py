"""The OpenAI engine with vLLM's server and a real small model on CPU gives the answers of vLLM in process.

Both use one vLLM engine, one after the other, with one request at a time. In bfloat16 the order of additions in a batch
can swap two tokens of nearly the same probability.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.factory import wait_until
from tracemill.engines import Completion, Engine, Generation, Sampling, Score
from tracemill.engines.openai import OpenaiEngine
from tracemill.engines.vllm import VllmEngine
from tracemill.event_loop import loop, run
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message
from tracemill.stack.state import free_port

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


def answers(engine: Engine, vllm: VllmEngine) -> list[Generation]:
    # On some processors a prompt out of the cache gives log-probabilities that differ by 0.06.
    assert run(vllm._llm.reset_prefix_cache())
    return [run(engine.generate(user_message(question), 1, GREEDY)) for question in QUESTIONS]


def score(engine: Engine) -> Score | None:
    return run(engine.score(user_message(QUESTIONS[0]), "The answer is 4."))


@pytest.fixture(scope="module")
def in_process(engine: VllmEngine) -> tuple[list[Generation], Score | None]:
    """The answers and the score of vLLM in process."""
    return answers(engine, engine), score(engine)


@pytest.fixture(scope="module")
def address(engine: VllmEngine) -> Iterator[str]:
    """The address of vLLM's server, which serves the engine of this process."""
    port = free_port()
    server = run(server_of(engine, port))
    serving = asyncio.run_coroutine_threadsafe(server.serve(), loop())
    wait_until(lambda: server.started or serving.done(), 60)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    serving.result(60)


async def server_of(engine: VllmEngine, port: int) -> Any:
    """The server that `vllm serve` runs, before its start."""
    import uvicorn
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state
    from vllm.entrypoints.launchers.app import build_app
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    llm = engine._llm
    words = ["--model", llm.model_config.model, "--served-model-name", "small", "--disable-log-stats"]
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(words)
    tasks = await llm.get_supported_tasks()
    app = build_app(arguments, tasks, llm.model_config)
    await init_app_state(llm, app.state, arguments, tasks)
    return uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))


@pytest.fixture(params=[False, True], ids=["at once", "streamed"])
def over_http(address: str, request: pytest.FixtureRequest) -> Iterator[OpenaiEngine]:
    engine = OpenaiEngine(
        ModelSettings(engine="openai", model="small", openai={"base_url": address, "stream": request.param})
    )
    yield engine
    run(engine.close())


def test_a_server_of_vllm_answers_as_vllm_in_process(
    in_process: tuple[list[Generation], Score | None], over_http: OpenaiEngine, engine: VllmEngine
) -> None:
    expected = in_process[0]
    actual = answers(over_http, engine)
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
