"""The contract of every engine. An engine's test inherits `EngineContract` and defines the fixture `engine`.

No test depends on the content of an answer, so that a real model and a scripted server can fulfil the same contract.
"""

import asyncio
import math

import pytest

from tracemill.engines import Engine, Sampling, Score
from tracemill.event_loop import run
from tracemill.prompts import Message

QUESTION: list[Message] = [
    {"role": "system", "content": "Answer briefly."},
    {"role": "user", "content": "What is 2 + 2?"},
]
#: A question whose likeliest first words are among the choices below, even for a very small model.
YES_OR_NO: list[Message] = [
    {"role": "user", "content": "Is the sky blue? Answer with one word, Yes or No."},
    {"role": "assistant", "content": "Yes"},
    {"role": "user", "content": "Is fire cold? Answer with one word, Yes or No."},
]


class EngineContract:
    @pytest.mark.parametrize("n", [1, 4])
    def test_it_gives_the_requested_number_of_completions(self, engine: Engine, n: int) -> None:
        generation = run(engine.generate(QUESTION, n, Sampling(max_tokens=16)))
        assert len(generation.completions) == n

    def test_it_counts_the_tokens_of_the_prompt_once_and_of_every_completion(self, engine: Engine) -> None:
        single = run(engine.generate(QUESTION, 1, Sampling(max_tokens=16)))
        four = run(engine.generate(QUESTION, 4, Sampling(max_tokens=16)))
        assert single.tokens_in == four.tokens_in > 0
        assert all(0 < completion.tokens <= 16 for completion in four.completions)

    def test_it_measures_the_duration_of_a_request(self, engine: Engine) -> None:
        assert run(engine.generate(QUESTION, 1, Sampling(max_tokens=16))).seconds > 0

    def test_it_repeats_its_answer_at_temperature_0(self, engine: Engine) -> None:
        greedy = Sampling(temperature=0, max_tokens=16)
        texts = [run(engine.generate(QUESTION, 1, greedy)).completions[0].text for _ in range(2)]
        assert texts[0] == texts[1] != ""

    def test_a_cut_off_answer_has_the_finish_reason_length(self, engine: Engine) -> None:
        completion = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=2))).completions[0]
        assert (completion.finish_reason, completion.tokens) == ("length", 2)

    def test_an_answer_that_ends_at_a_stop_text_has_the_reason_stop(self, engine: Engine) -> None:
        greedy = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16))).completions[0].text
        stop = greedy.split()[1]
        stopped = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16, stop=(stop,))))
        assert stopped.completions[0].finish_reason == "stop"
        assert len(stopped.completions[0].text) < len(greedy)

    def test_it_shares_the_probability_of_the_first_word_among_the_choices(self, engine: Engine) -> None:
        shares = run(engine.choose(YES_OR_NO, ["Yes", "No"]))
        assert shares is not None
        assert set(shares) == {"Yes", "No"}
        assert sum(shares.values()) == pytest.approx(1)

    def test_it_gives_no_shares_when_no_choice_is_likely(self, engine: Engine) -> None:
        assert run(engine.choose(YES_OR_NO, ["xylophone-17"])) is None

    def test_a_score_is_a_log_probability_and_a_number_of_tokens(self, engine: Engine) -> None:
        score = run(engine.score(QUESTION, "The answer is 4."))
        assert score is not None
        assert score.logprob < 0
        assert 4 <= score.tokens <= 16

    def test_the_same_text_scores_the_same_twice(self, engine: Engine) -> None:
        scores = [run(engine.score(QUESTION, "The answer is 4.")) for _ in range(2)]
        assert scores[0] is not None
        assert scores[1] is not None
        assert scores[0].logprob == pytest.approx(scores[1].logprob, abs=0.1)

    def test_more_text_is_less_likely(self, engine: Engine) -> None:
        greedy = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16))).completions[0].text.split()
        beginnings = [run(engine.score(QUESTION, " ".join(greedy[:words]))) for words in (1, 2, 3)]
        logprobs = [score.logprob for score in beginnings if score is not None]
        assert len(logprobs) == 3
        assert logprobs == sorted(logprobs, reverse=True)

    def test_a_likely_answer_scores_above_an_unlikely_one(self, engine: Engine) -> None:
        greedy = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16))).completions[0].text
        likely, unlikely = (run(engine.score(QUESTION, text)) for text in (greedy, "Xylophones rust quietly, 17."))
        assert likely is not None
        assert unlikely is not None
        assert likely.logprob / likely.tokens > unlikely.logprob / unlikely.tokens

    def test_concurrent_scores_and_choices_equal_single_ones(self, engine: Engine) -> None:
        async def together() -> tuple[list[Score | None], list[dict[str, float] | None]]:
            scores = [engine.score(QUESTION, text) for text in ("The answer is 4.", "4", "Four")]
            choices = [engine.choose(YES_OR_NO, ["Yes", "No"]) for _ in range(3)]
            return await asyncio.gather(asyncio.gather(*scores), asyncio.gather(*choices))

        scores, choices = run(together())
        alone, choice = run(engine.score(QUESTION, "4")), run(engine.choose(YES_OR_NO, ["Yes", "No"]))
        assert alone is not None
        assert choice is not None
        assert scores[1] is not None
        assert scores[1].logprob == pytest.approx(alone.logprob, abs=0.1)
        assert all(each is not None and each["Yes"] == pytest.approx(choice["Yes"], abs=0.05) for each in choices)

    def test_an_answer_without_thoughts_has_none(self, engine: Engine) -> None:
        completion = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16))).completions[0]
        assert "<think>" not in completion.text
        assert completion.thinking_tokens == 0

    def test_log_probabilities_come_only_on_request(self, engine: Engine) -> None:
        assert run(engine.generate(QUESTION, 1, Sampling(max_tokens=4))).completions[0].logprobs is None

    @pytest.mark.parametrize("k", [1, 5])
    def test_every_token_comes_with_the_likeliest_tokens_on_request(self, engine: Engine, k: int) -> None:
        sampling = Sampling(temperature=1.5, max_tokens=16, logprobs=k)
        for completion in run(engine.generate(QUESTION, 4, sampling)).completions:
            top = completion.logprobs
            assert top is not None
            assert len(top.chosen) == len(top.ids) == len(top.logprobs) == completion.tokens
            for chosen, ids, logprobs in zip(top.chosen, top.ids, top.logprobs, strict=True):
                assert len(set(ids)) == len(ids) == len(logprobs)
                assert len(ids) == k if chosen in ids[:k] else ids[k:] == (chosen,)
                assert list(logprobs) == sorted(logprobs, reverse=True)
                assert sum(map(math.exp, logprobs)) <= 1.01

    def test_at_temperature_0_the_likeliest_token_is_chosen(self, engine: Engine) -> None:
        completion = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=16, logprobs=3))).completions[
            0
        ]
        assert completion.logprobs is not None
        assert completion.logprobs.chosen == tuple(ids[0] for ids in completion.logprobs.ids)

    def test_the_log_probabilities_of_an_answer_add_up_to_its_score(self, engine: Engine) -> None:
        completion = run(engine.generate(QUESTION, 1, Sampling(temperature=0, max_tokens=5, logprobs=2))).completions[0]
        score = run(engine.score(QUESTION, completion.text))
        assert completion.logprobs is not None
        assert score is not None
        assert completion.finish_reason == "length"  # so no end mark is counted, which the text lacks
        assert (completion.tokens, score.tokens) == (5, 5)
        assert sum(row[0] for row in completion.logprobs.logprobs) == pytest.approx(score.logprob, abs=0.3)

    def test_closing_it_twice_does_no_harm(self, engine: Engine) -> None:
        run(engine.close())
        run(engine.close())
