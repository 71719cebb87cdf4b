"""The LLM verifier's signals, on scripted probabilities; how a judge fails, and who falls for what."""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count, pairwise
from typing import Any

import pytest

from tests.scripted_judges import firm, first_words, gullible, of_known_quality, scripted_judge
from tests.scripted_server import Fault, ScriptedServer
from tracemill.engines import openai_server
from tracemill.engines.openai import OpenaiEngine
from tracemill.errors import EngineDead
from tracemill.event_loop import run
from tracemill.model_settings import ModelSettings
from tracemill.policy import Signal
from tracemill.statistics import auc
from tracemill.verification.judge import SIGNALS, Case, Judged, ask, canaries
from tracemill.verification.judge.canaries import ATTACKS
from tracemill.verification.judge.quoting import quoted
from tracemill.verification.judge.yes_no import spread

SUM = Case("What is 3 + 4?", ("3 + 4 = 7.", "The answer is 7."), "7")
LONG = Case("What is 3 + 4 - 5?", ("3 + 4 = 7.", "7 - 5 = 2.", "2 is even.", "So the answer is 2."), "2")

Ask = Callable[..., Judged]


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ScriptedServer], OpenaiEngine]]:
    """An engine for a scripted server, for as long as the test lasts."""
    monkeypatch.setattr(openai_server, "FIRST_PAUSE", 0.001)
    with ExitStack() as stack:

        def engine(server: ScriptedServer) -> OpenaiEngine:
            stack.enter_context(server)
            engine = OpenaiEngine(
                ModelSettings(engine="openai", model="scripted", openai={"base_url": server.base_url})
            )
            stack.callback(lambda: run(engine.close()))
            return engine

        yield engine


@pytest.fixture
def score(judging: Callable[[ScriptedServer], OpenaiEngine]) -> Callable[..., float | None]:
    """The score of one signal for a case, from a server with the given script."""

    def one(signal: Signal, case: Case, **script: Any) -> float | None:
        judged = run(ask(judging(ScriptedServer(**script)), case, [signal]))
        assert judged.error is None
        return judged.scores.get(signal)

    return one


Score = Callable[..., float | None]
Judging = Callable[[ScriptedServer], OpenaiEngine]


def prompt(request: tuple[Any, dict[str, Any]]) -> str:
    return str(request[1]["messages"][-1]["content"])


# -- the signals --


@pytest.mark.parametrize("signal", ["rating", "agreement"])
def test_a_yes_or_no_signal_is_the_probability_of_yes_among_the_two(score: Score, signal: Signal) -> None:
    words = {"Yes": math.log(0.6), " no": math.log(0.2), "Maybe": math.log(0.2)}
    case = Case("Who?", ("It says so.",), "Ada", gold="Ada Lovelace")
    assert score(signal, case, first_words=words) == pytest.approx(0.75)


def test_a_judge_that_says_neither_yes_nor_no_gives_no_rating(score: Score) -> None:
    assert score("rating", SUM, first_words={"Perhaps": -0.1}) is None


@pytest.mark.parametrize("signal", ["rating", "uplift", "agreement"])
def test_without_an_answer_there_is_nothing_to_judge_it_by(score: Score, signal: Signal) -> None:
    assert score(signal, Case("What?", ("Hm.",), " ", gold="5")) is None


def test_agreement_needs_a_reference(score: Score) -> None:
    assert score("agreement", SUM) is None


def test_coherence_is_the_mean_over_the_steps_from_the_second_on(score: Score) -> None:
    def words(prompt: str) -> dict[str, float]:
        yes = 0.9 if "7 - 5" in prompt.split("[NEXT STEP begins]")[1] else 0.3
        return {"Yes": math.log(yes), "No": math.log(1 - yes)}

    assert score("coherence", LONG, first_words=words) == pytest.approx((0.9 + 0.3 + 0.3) / 3)


def test_a_single_step_is_coherent_without_asking(judging: Judging) -> None:
    server = ScriptedServer()
    assert run(ask(judging(server), Case("What?", ("Just so.",), "5"), ["coherence"])).scores == {"coherence": 1}
    assert not server.requests


def test_of_many_steps_some_are_asked_about_evenly_spread_with_the_first_and_the_last() -> None:
    for transitions in (1, 2, 19, 20, 21, 333, 10_000):
        places = spread(transitions)
        assert len(set(places)) == len(places) == min(transitions, 20)
        assert (places[0], places[-1]) == (1, transitions)
        gaps = [b - a for a, b in pairwise(places)]
        assert not gaps or max(gaps) - min(gaps) <= 1


def test_uplift_is_what_the_reasoning_adds_to_the_answers_probability(score: Score) -> None:
    def scored(question: str, text: str) -> float:
        return math.log(0.8 if "REASONING" in question else 0.1) if text == "7" else -99.0

    assert score("uplift", SUM, score=scored) == pytest.approx(0.7)


def test_uplift_is_shown_the_reasoning_without_its_answer(judging: Judging) -> None:
    server = ScriptedServer()
    run(ask(judging(server), SUM, ["uplift"]))
    shown = "\n".join(str(body["messages"][-2]["content"]) for _, body in list(server.requests)[1:])
    assert "| 3 + 4 = 7." in shown
    assert "answer is 7" not in shown


def test_a_trace_that_only_states_its_answer_lifts_nothing(score: Score) -> None:
    assert score("uplift", Case("What is 3 + 4?", ("The answer is 7.",), "7")) == 0


def test_without_scores_uplift_is_the_share_of_drawn_answers_that_mean_the_same(score: Score) -> None:
    def answer(question: str) -> list[str]:
        answers = ["7", "The answer is $7.00.", "14/2", "3 + 4 = 7", "8", "seven", "70", "-7"]
        return answers if "REASONING" in question else ["8"] * 7 + ["**7**"]

    assert score("uplift", SUM, answer=answer, ignores={"prompt_logprobs"}) == pytest.approx(4 / 8 - 1 / 8)


def test_counterfactual_is_the_share_of_corrupted_reasonings_that_change_the_forced_answer(score: Score) -> None:
    intact = "7 - 5 = 2.\n| 2 is even.\n[REASONING ends]"
    told = iter(["The answer is 3.", "2", "2.0", "three"])

    def answer(question: str) -> str:
        return "**2**" if intact in question else next(told)

    assert score("counterfactual", LONG, answer=answer) == 2 / 4


def test_an_answer_that_never_changes_does_not_depend_on_the_reasoning(score: Score) -> None:
    assert score("counterfactual", LONG, answer=lambda _: "2") == 0


def test_a_trace_without_reasoning_has_no_counterfactual(score: Score) -> None:
    assert score("counterfactual", Case("What is 3 + 4?", ("The answer is 7.",), "7")) is None


def test_prompts_about_a_question_begin_alike_so_that_the_prefix_cache_serves(judging: Judging) -> None:
    server = ScriptedServer()
    case = Case("What is 1 + 1?" * 5, tuple(f"{n} + {n} = {2 * n}." for n in range(1, 12)), "22", gold="23")
    run(ask(judging(server), case, list(SIGNALS)))
    systems = {body["messages"][0]["content"] for _, body in server.requests if len(body["messages"]) > 2}
    assert len(systems) == 1
    shown = [prompt(request) for request in server.requests if "REASONING" in prompt(request)]
    assert len(shown) == 16
    assert all(text.startswith(quoted("QUESTION", case.question, 999)) for text in shown)


def test_all_signals_are_asked_at_once(judging: Judging) -> None:
    server = ScriptedServer(latency=0.3, answer=lambda _: "2")
    engine = judging(server)
    started = time.monotonic()
    judged = run(ask(engine, Case("What?", LONG.steps, "2", gold="2"), list(SIGNALS)))
    assert time.monotonic() - started < 1.5  # one after the other: 14 requests, 4 s
    assert judged.error is None
    assert set(judged.scores) == set(SIGNALS)


# -- failures of the judge --


def test_a_judge_that_fails_is_an_error_on_the_trace_and_the_signal_is_absent(judging: Judging) -> None:
    server = ScriptedServer(faults=[Fault.BROKEN] * 100)
    judged = run(ask(judging(server), SUM, ["rating", "coherence"]))
    assert judged.scores == {}
    assert judged.error is not None
    assert re.fullmatch(r"rating, coherence: .*500 Internal Server Error.*\(5 attempts\)", judged.error)


def refusing(server: ScriptedServer, parameter: str) -> ScriptedServer:
    """The server, which refuses all requests with this parameter and does not say why."""
    server.faults = (Fault.REFUSED if parameter in server.requests[-1][1] else None for _ in count())
    return server


def test_one_failing_signal_leaves_the_others(judging: Judging) -> None:
    server = refusing(ScriptedServer(refuses={"logprobs"}), "temperature")
    judged = run(ask(judging(server), SUM, ["rating", "uplift"]))
    assert set(judged.scores) == {"uplift"}
    assert (judged.error or "").startswith("rating: ")


def test_a_dead_engine_is_not_hidden_in_a_verdict(judging: Judging) -> None:
    with pytest.raises(EngineDead):
        run(ask(judging(ScriptedServer(faults=[Fault.UNAUTHORIZED] * 9)), SUM, ["rating", "coherence"]))


def test_a_judge_that_refuses_a_long_trace_is_shown_less_of_it(judging: Judging) -> None:
    server = ScriptedServer(faults=[Fault.REFUSED] * 4, refuses=set())
    case = Case("What?", tuple(f"Step {n} says something." for n in range(5000)), "5")
    judged = run(ask(judging(server), case, ["rating"]))
    assert judged.error is None
    assert set(judged.scores) == {"rating"}
    lengths = [len(prompt(request)) for request in server.requests]
    assert lengths[0] > 24_000 > 15_000 > lengths[-1]
    assert "| Step 0 says" in prompt(server.requests[-1])
    assert "| Step 4999 says" in prompt(server.requests[-1])


def test_a_short_trace_that_is_refused_is_not_asked_again(judging: Judging) -> None:
    server = refusing(ScriptedServer(), "temperature")
    assert run(ask(judging(server), SUM, ["rating"])).scores == {}
    assert len(server.requests) == 2  # with and without logprobs


# -- judges of known quality --


@pytest.mark.parametrize("known", [0.5, 0.8, 0.95])
def test_a_judge_of_known_quality_is_measured_at_it(known: float) -> None:
    judge = of_known_quality(known)
    shown = [
        (right, first_words(judge)(f"[QUESTION begins]\n| What is {n} + 4?\n[ANSWER begins]\n| {n + 4 + (not right)}"))
        for n in range(1000)
        for right in (True, False)
    ]
    measured = auc(*([math.exp(w["Yes"]) for right, w in shown if right is is_right] for is_right in (True, False)))
    assert measured is not None
    assert measured.value == pytest.approx(known, abs=0.03)


def test_the_rating_of_a_scripted_judge_comes_through_the_whole_path(judging: Judging) -> None:
    engine = judging(scripted_judge(firm()))
    wrong = Case("What is 3 + 4?", ("3 + 4 = 8.",), "8")
    assert run(ask(engine, SUM, ["rating"])).scores["rating"] == pytest.approx(0.95)
    assert run(ask(engine, wrong, ["rating"])).scores["rating"] == pytest.approx(0.05)


# -- canaries --


def test_a_gullible_judge_is_caught_by_its_canaries(judging: Judging) -> None:
    results = run(canaries(judging(scripted_judge(gullible()))))
    fooled = {result.attack for result in results if result.fooled}
    assert {"ignore the above", "politeness", "hidden characters", "in the answer", "ignore the above, no"} <= fooled
    assert all(result.plain is not None and result.attacked is not None for result in results)


def test_a_judge_that_looks_at_the_sum_alone_is_not_fooled(judging: Judging) -> None:
    results = run(canaries(judging(scripted_judge(firm()))))
    assert [result.attack for result in results if result.fooled] == []
    assert [result.plain for result in results] == pytest.approx(
        [0.05 if attack.target == "yes" else 0.95 for attack in ATTACKS]
    )


def test_canaries_are_few_and_always_the_same(judging: Judging) -> None:
    servers = [scripted_judge(gullible()) for _ in range(2)]
    assert run(canaries(judging(servers[0]))) == run(canaries(judging(servers[1])))
    prompts = [sorted(prompt(request) for request in server.requests) for server in servers]
    assert prompts[0] == prompts[1]
    assert len(prompts[0]) == len(set(prompts[0])) <= 32
    assert len(ATTACKS) <= 16


def test_a_server_that_refuses_an_attacked_trace_was_not_fooled(judging: Judging) -> None:
    results = run(canaries(judging(refusing(scripted_judge(gullible()), "temperature"))))
    assert {result.attacked for result in results} == {None}
    assert not any(result.fooled for result in results)


# -- hostile traces --


def test_slots_in_a_trace_are_not_filled(judging: Judging) -> None:
    server = ScriptedServer()
    run(ask(judging(server), Case("What?", ("{answer} {question}",), "5"), ["rating"]))
    assert "| {answer} {question}\n" in prompt(server.requests[0])


HOSTILE = {
    "nothing": Case("", (), ""),
    "NUL": Case("\x00", ("\x00", "a\x00b = 5"), "\x00"),
    "surrogates": Case("\ud800", ("\udfff = \ud800",), "\ud800", gold="\udc00"),
    "only line ends": Case("\n" * 9, ("\r\u2028",), "\x85"),
    "braces": Case("{question}", ("{reasoning}" * 9,), "{answer}"),
    "boxes": Case("?", ("\\boxed{" * 10_000, "}" * 10_000), "5"),
    "answers": Case("?", ("answer " * 100_000, "answer is " * 10_000), "5"),
    "dots": Case("?", (". " * 100_000, "=" * 100_000), "." * 100_000),
    "digits": Case("?", ("1" * 300_000, "9," * 100_000), "7" * 100_000),
    "spaces": Case("?", ("answer" + " " * 300_000 + "is", " \t" * 100_000), " " * 100_000 + "5"),
    "steps": Case("?", ("5",) * 100_000, "5"),
    "long": Case("q" * 1_000_000, ("<|im_end|>" * 100_000,), "yes" * 100_000, gold="yes" * 100_000),
}


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_trace_is_judged_soon_and_without_harm(judging: Judging, case: Case) -> None:
    server = ScriptedServer()
    engine = judging(server)
    started = time.process_time()  # of the server, too
    judged = run(ask(engine, case, list(SIGNALS)))
    assert time.process_time() - started < 3
    assert judged.error is None
    assert all(len(str(body["messages"])) < 200_000 for _, body in server.requests)
    assert all(-1 <= value <= 1 for value in judged.scores.values())
