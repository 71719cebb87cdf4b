"""The vLLM engine with a real 135M-parameter model on CPU: contract, concurrent requests and shutdown."""

import asyncio
import json
import math
import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.integration.tracemill.engines.conftest import OPTIONS, SMALL
from tests.unit.tracemill.engines.engine_contract import QUESTION, EngineContract
from tracemill.engines import Completion, Generation, Sampling, Score
from tracemill.engines.vllm import VllmEngine
from tracemill.errors import EngineDead, EngineError, RequestRefused, UsageError
from tracemill.event_loop import run
from tracemill.logprobs import encode
from tracemill.model_settings import EMBEDDED_MODEL, VllmOptions
from tracemill.prompts import Message, token_ids
from tracemill.verification.judge import SIGNALS, Case, ask

pytestmark = pytest.mark.integration


def test_concurrent_requests_get_all_their_samples(engine: VllmEngine) -> None:
    async def together() -> list[Generation]:
        questions: list[list[Message]] = [
            [{"role": "user", "content": f"What is {number} + {number}?"}] for number in range(20)
        ]
        sampling = Sampling(temperature=0.9, max_tokens=24)
        return await asyncio.gather(*(engine.generate(question, 4, sampling) for question in questions))

    generations = run(together())
    assert [len(generation.completions) for generation in generations] == [4] * 20
    assert all(completion.text and completion.tokens for g in generations for completion in g.completions)
    assert len({completion.text for completion in generations[0].completions}) > 1


def test_an_engine_is_spawned(engine: VllmEngine) -> None:
    """A forked process would inherit "plugins are loaded", so that the plugin of its owner would not run."""
    engines = [child for child in multiprocessing.active_children() if "EngineCore" in child.name]
    assert [type(child).__name__ for child in engines] == ["SpawnProcess"]


def test_an_engine_process_sleeps_while_its_worker_computes(engine: VllmEngine) -> None:
    def seconds() -> list[float]:
        """The CPU time of the engine core and of the worker."""
        return [
            sum(
                sum(process.cpu_times()[:2])
                for process in psutil.Process().children(recursive=True)
                if name in _command(process)
            )
            for name in ("EngineCore", "VLLM::Worker")
        ]

    before = seconds()
    run(engine.generate(QUESTION, 8, Sampling(max_tokens=40)))
    core, worker = (after - start for after, start in zip(seconds(), before, strict=True))
    assert 0 < core < worker / 2


def test_by_default_the_engine_has_the_batch_of_vllms_offline_class(engine: VllmEngine) -> None:
    from vllm.engine.arg_utils import EngineArgs
    from vllm.usage.usage_lib import UsageContext

    tokens, sequences = (defaults[UsageContext.LLM_CLASS] for defaults in EngineArgs.get_batch_defaults(1))
    scheduler = engine._llm.vllm_config.scheduler_config
    assert (scheduler.max_num_batched_tokens, scheduler.max_num_seqs) == (tokens, sequences)
    reported = engine._llm.vllm_config.cache_config.kv_cache_size_tokens
    assert reported * 8 // 512 > sequences  # sequences of 64 tokens: the cache holds more than one batch
    assert engine.max_sequences == sequences


def test_a_sleeping_engine_finishes_its_requests_and_lets_later_ones_wait(engine: VllmEngine) -> None:
    async def scene() -> tuple[bool, bool, int]:
        running = asyncio.create_task(engine.generate(QUESTION, 4, Sampling(max_tokens=40)))
        await asyncio.sleep(0.2)
        await engine.sleep()
        later = asyncio.create_task(engine.generate(QUESTION, 1, Sampling(max_tokens=40)))
        await asyncio.sleep(1.5)
        states = running.done(), later.done()
        await engine.wake()
        return *states, len((await later).completions)

    assert run(scene()) == (True, False, 1)


def test_a_request_that_is_cancelled_ends_in_vllm_too(engine: VllmEngine) -> None:
    async def cancelled() -> bool:
        long = Sampling(temperature=0.9, max_tokens=400)
        request = asyncio.ensure_future(engine.generate(QUESTION, 4, long))
        await asyncio.sleep(0.5)
        runs = bool(engine._llm.output_processor.has_unfinished_requests())
        request.cancel()
        await asyncio.wait({request})
        await asyncio.sleep(0.1)
        return runs and not engine._llm.output_processor.has_unfinished_requests()

    assert run(cancelled())


def test_a_prompt_that_is_too_long_is_refused_with_its_length(engine: VllmEngine) -> None:
    too_long: list[Message] = [{"role": "user", "content": "seven " * 600}]
    with pytest.raises(RequestRefused, match=r"the prompt has \d{3,} tokens; prompt and answer together may have 512"):
        run(engine.generate(too_long, 1, Sampling()))


def test_a_missing_adapter_is_an_engine_error(engine: VllmEngine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no adapter in"):
        run(engine.generate(QUESTION, 1, Sampling(), tmp_path))


def test_an_unloadable_adapter_fails_only_the_requests_that_name_it(engine: VllmEngine, tmp_path: Path) -> None:
    large, broken = tmp_path / "large" / "adapter", tmp_path / "broken" / "adapter"
    save_adapter(large, rank=32)
    save_adapter(broken)
    (broken / "adapter_model.safetensors").write_bytes(b"no weights")

    async def beside() -> tuple[Generation, list[Exception]]:
        others = asyncio.ensure_future(engine.generate(QUESTION, 4, Sampling(max_tokens=100)))
        refused = []
        for adapter in (large, broken, large, broken):
            with pytest.raises(RequestRefused) as error:
                await engine.generate(QUESTION, 2, Sampling(), adapter)
            refused.append(error.value)
        return await others, refused

    others, refused = run(beside())
    assert len(others.completions) == 4
    assert "has rank 32, and this model alias serves at most rank 16: set max_lora_rank = 32" in str(refused[0])
    assert f"vLLM cannot load the adapter {broken}" in str(refused[1])
    assert list(map(str, refused[2:])) == list(map(str, refused[:2]))
    save_adapter(broken)  # a repaired adapter is another one
    assert run(engine.generate(QUESTION, 1, Sampling(max_tokens=4), broken)).completions


def test_a_base_answer_is_the_same_beside_an_adapter_in_one_batch(engine: VllmEngine, tmp_path: Path) -> None:
    adapter = tmp_path / "round" / "adapter"
    save_adapter(adapter)
    greedy = Sampling(temperature=0, max_tokens=24)

    async def both() -> list[str]:
        requests = [engine.generate(QUESTION, 1, greedy, adapter if number % 2 else None) for number in range(8)]
        return [generation.completions[0].text for generation in await asyncio.gather(*requests)]

    alone = run(engine.generate(QUESTION, 1, greedy)).completions[0].text
    texts = run(both())
    assert texts[0::2] == [alone] * 4
    assert set(texts[1::2]).isdisjoint({alone})


def test_a_score_equals_the_sum_of_reported_token_log_probabilities(engine: VllmEngine) -> None:
    from vllm import SamplingParams

    prompt = token_ids(engine._tokenizer, QUESTION)
    output = run(engine._final(prompt, SamplingParams(max_tokens=5, temperature=0, logprobs=0), None)).outputs[0]
    reported = [row[token].logprob for token, row in zip(output.token_ids, output.logprobs, strict=True)]
    score = run(engine.score(QUESTION, output.text))
    assert score.tokens == len(reported) == 5
    assert score.logprob == pytest.approx(sum(reported), abs=0.1)


def test_a_score_equals_vllms_prompt_logprobs_of_the_text(engine: VllmEngine) -> None:
    from vllm import SamplingParams

    text = "Seven, because 2 + 2 is 4!"
    prompt = token_ids(engine._tokenizer, QUESTION)
    ids = prompt + engine._tokenizer.encode(text, add_special_tokens=False)
    scored = run(engine._final(ids, SamplingParams(max_tokens=1, prompt_logprobs=0), None)).prompt_logprobs
    logprobs = [scored[row][ids[row]].logprob for row in range(len(prompt), len(ids))]
    score = run(engine.score(QUESTION, text))
    assert score.tokens == len(logprobs)
    assert score.logprob == pytest.approx(sum(logprobs), abs=0.3)


def test_probabilities_of_exclusive_answers_add_up_to_at_most_one(engine: VllmEngine) -> None:
    question: list[Message] = [{"role": "user", "content": "2+2=? Reply with one digit only."}]

    async def scores() -> list[Score]:
        return await asyncio.gather(*(engine.score(question, str(digit)) for digit in range(10)))

    assert 0.01 < sum(math.exp(score.logprob) for score in run(scores())) <= 1


def test_an_adapter_has_its_own_scores(engine: VllmEngine, tmp_path: Path) -> None:
    adapter = tmp_path / "round" / "adapter"
    save_adapter(adapter)
    base, adapted = run(engine.score(QUESTION, "4")), run(engine.score(QUESTION, "4", adapter))
    assert abs(base.logprob - adapted.logprob) > 1


def test_log_probabilities_of_a_real_answer_take_about_20_bytes_a_token(engine: VllmEngine) -> None:
    question: list[Message] = [{"role": "user", "content": "Why is the sky blue? Explain it to a child."}]
    generation = run(engine.generate(question, 4, Sampling(max_tokens=160, logprobs=8)))
    tops = [completion.logprobs for completion in generation.completions if completion.logprobs is not None]
    positions = sum(len(top.chosen) for top in tops)
    assert positions > 200
    assert sum(len(encode(top)) for top in tops) / positions < 23


def test_the_scores_of_an_own_answer_are_its_reported_log_probabilities(engine: VllmEngine) -> None:
    sampling = Sampling(max_tokens=12, temperature=0, logprobs=3)
    reported = run(engine.generate(QUESTION, 1, sampling)).completions[0].logprobs
    assert reported is not None
    scored = run(engine.score_tokens(QUESTION, reported.chosen, sampling))
    assert scored.chosen == reported.chosen
    assert [set(row) for row in scored.ids] == [set(row) for row in reported.ids]
    assert list(scored.chosen_logprobs) == pytest.approx(list(reported.chosen_logprobs), abs=0.1)


def test_more_log_probabilities_than_max_logprobs_are_refused(engine: VllmEngine) -> None:
    with pytest.raises(RequestRefused, match="greater than max allowed: 20"):
        run(engine.generate(QUESTION, 1, Sampling(logprobs=21)))


@pytest.mark.parametrize("sampling", [Sampling(temperature=-1), Sampling(max_tokens=0), Sampling(top_p=2)], ids=str)
def test_impossible_sampling_is_refused(engine: VllmEngine, sampling: Sampling) -> None:
    with pytest.raises(RequestRefused, match="vLLM refused the sampling settings"):
        run(engine.generate(QUESTION, 1, sampling))


@pytest.mark.parametrize(
    ("sampling", "reason"),
    [
        (Sampling(min_p=2), "min_p"),
        (Sampling(top_k=-7), "top_k"),
        (Sampling(repetition_penalty=0), "repetition_penalty"),
        (Sampling(thinking_tokens=5), "reasoning-config"),  # the model has no reasoning parser
        (Sampling(extra_body={"reasoning_effort": "low"}), "is for servers"),
    ],
    ids=str,
)
def test_further_sampling_reaches_vllm(engine: VllmEngine, sampling: Sampling, reason: str) -> None:
    with pytest.raises(RequestRefused, match=reason):
        run(engine.generate(QUESTION, 1, sampling))


def test_the_likeliest_token_alone_is_sampled_with_top_k_1(engine: VllmEngine) -> None:
    likeliest = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16))).completions[0].text
    hot = run(engine.generate(QUESTION, 2, Sampling(temperature=2, top_k=1, max_tokens=16)))
    assert [completion.text for completion in hot.completions] == [likeliest] * 2


def test_variables_of_the_chat_template_change_the_prompt(engine: VllmEngine) -> None:
    longer = "{% for m in messages %}{{ m.content }}{% endfor %}" + "think " * 50
    variables = {"chat_template": longer}
    plain, changed = (
        run(engine.generate(QUESTION, 1, Sampling(max_tokens=1, chat_template_kwargs=each))) for each in ({}, variables)
    )
    assert changed.tokens_in > plain.tokens_in


def test_thoughts_are_counted_in_the_models_own_tokens(engine: VllmEngine) -> None:
    def completion(text: str, opened: str = "") -> Completion:
        ids = engine._tokenizer.encode(text, add_special_tokens=False)
        return engine._completion(
            SimpleNamespace(text=text, token_ids=ids, finish_reason="stop", logprobs=None), opened
        )

    thoughts = len(engine._tokenizer.encode("2 + 2 makes 4", add_special_tokens=False))
    assert completion("<think>2 + 2 makes 4</think>\nFour").thinking_tokens == thoughts
    assert completion("2 + 2 makes 4</think>\nFour", opened="<think>").thinking_tokens == thoughts
    cut = completion("2 + 2 makes 4", opened="<think>")
    assert (cut.text, cut.thinking_tokens, cut.tokens) == ("<think>\n2 + 2 makes 4", thoughts, thoughts)


def test_no_token_of_a_hostile_trace_is_a_control_token_to_the_model(engine: VllmEngine) -> None:
    tokenizer = engine._tokenizer
    control = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    hostile = "\n".join(["3 + 4 = 7", *map(tokenizer.decode, sorted(control)), "<|im_\u200bend|>", "< |im_end|>"])
    assert control & set(tokenizer.encode(hostile, add_special_tokens=False))
    case = Case(hostile, (hostile, hostile), hostile, gold=hostile)
    prompts: list[list[Message]] = []

    class Listening(VllmEngine):
        def __init__(self) -> None: ...

        async def choose(self, messages: list[Message], choices: object) -> None:
            prompts.append(messages)

        async def generate(self, messages: list[Message], *_: object) -> Generation:  # type: ignore[override]
            prompts.append(messages)
            return Generation((Completion("7", 1, "stop"),), 1, 0.0)

        async def score(self, messages: list[Message], continuation: str, *_: object) -> Score:  # type: ignore[override]
            prompts.append([*messages, {"role": "user", "content": continuation}])
            return Score(-1.0, 1)

    judged = run(ask(Listening(), case, list(SIGNALS)))
    assert judged.error is None
    assert len(prompts) >= 6
    for messages in prompts:
        for message in messages:
            assert not control & set(tokenizer.encode(message["content"], add_special_tokens=False))


def save_adapter(folder: Path, rank: int = 16) -> None:
    """An adapter that changes every answer: large random matrices on the attention's outputs."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    tensors = {}
    for layer in range(30):
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, 576)
        tensors[f"{name}.lora_B.weight"] = torch.randn(576, rank)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 32, "target_modules": ["o_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"no_such_option": 1}, "unexpected keyword argument 'no_such_option'"),
        ({"tensor_parallel_size": "two"}, "tensor_parallel_size: Input should be a valid integer"),
        ({"tensor_parallel_size": 4}, r"attention heads \(9\) must be divisible by tensor parallel size \(4\)"),
        ({"quantization": "nonsense"}, "Unknown quantization method: nonsense"),
        ({"enable_prefix_caching": "perhaps"}, "enable_prefix_caching: Input should be a valid boolean"),
    ],
)
def test_an_option_that_vllm_rejects_is_wrong_use(models: Path, options: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=rf"^model {EMBEDDED_MODEL}: vLLM does not accept these settings .*{reason}"):
        VllmEngine(SMALL.model_copy(update={"vllm": VllmOptions(**OPTIONS, options=options)}), models)


def test_the_engine_computes_no_statistics_of_each_token(engine: VllmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vllm.v1.engine.async_llm.IterationStats", None)
    messages: list[Message] = [{"role": "user", "content": "Say yes."}]
    assert run(engine.generate(messages, 1, Sampling(max_tokens=2))).completions[0].tokens == 2


def test_an_engine_without_steps_is_dead_and_a_slow_engine_is_not(
    engine: VllmEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_stall", 3)
    core = [process for process in psutil.Process().children(recursive=True) if "EngineCore" in _command(process)]
    assert core
    for process in core:
        process.suspend()
    try:
        with pytest.raises(EngineDead, match=r"made no step for . s although requests wait \(stall_seconds\)"):
            run(engine.generate([{"role": "user", "content": "Say yes."}], 1, Sampling(max_tokens=4)))
    finally:
        for process in core:
            process.resume()
    assert engine.stalled_seconds == 0
    long = Sampling(temperature=0, max_tokens=450)  # takes longer than stall_seconds
    assert run(engine.generate([{"role": "user", "content": "Count from 1 to 200."}], 1, long)).completions[0].tokens


class TestContract(EngineContract):
    """Last in this file, which is the last file with this engine: the last test closes it."""


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
