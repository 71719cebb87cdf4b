"""Long traces: the time of all checks is linear in their length, whatever they consist of."""

import random
from collections.abc import Callable
from time import thread_time

import pytest

from benchmarks.traces import gsm8k_like
from tracemill.verification.checks import Item, check

QUESTION = "Ann has 3 apples and buys 4 more. How many does she have?"
SHORT = "She has 3 apples and buys 4. Then there are 3 + 4 = 7 apples, which is used later.\nThe answer is 7."
#: Traces of the benchmark that an idle core of our machines checks in 50 ms. A busy core is slower with all texts.
BENCHMARK_TRACES = 480


def words(length: int) -> str:
    """Thoughts as models write them."""
    rng = random.Random(5)
    sentences: list[str] = []
    size = 0
    while size < length:
        a, b = rng.randint(2, 99), rng.randint(2, 99)
        sentences.append(
            rng.choice(
                (
                    f"Then we add {a} + {b} = {a + b} and continue.",
                    f"Wait, let me check: {a} * {b} = {a * b}.",
                    "Hmm, is this right? Let us think about the problem again.",
                    f"\n\nStep {a}: take \\frac{{{a}}}{{{b}}} of it, that is ${a}/{b}$.\n",
                )
            )
        )
        size += len(sentences[-1]) + 1
    return " ".join(sentences)[:length]


def numbers(length: int) -> str:
    rng = random.Random(6)
    return " ".join(str(rng.randint(0, 10**6)) for _ in range(length // 7))


SHAPES: dict[str, Callable[[int], str]] = {
    "thoughts": lambda n: f"<think>{words(n)}</think>\n{SHORT}",
    "thoughts alone": lambda n: f"<think>{words(n)}\nThe answer is 7.</think>",
    "thoughts that are cut off": lambda n: f"<think>{words(n)}",
    "one line": lambda n: f"{words(n)} The answer is 7.".replace("\n", " "),
    "numbers": numbers,
    "equals signs": lambda n: "2 = " * (n // 4),
    "boxes": lambda n: "\\boxed{7} " * (n // 10),
    "statements": lambda n: "The answer is 7. " * (n // 17),
    "marks of thoughts": lambda n: "<think></think>" * (n // 15),
    "items": lambda n: "".join(f"{k}. Add {k} + 1 = {k + 1}\n" for k in range(n // 24)),
    "ranges": lambda n: "1-3 = 9 " * (n // 8),
    "brackets": lambda n: "(" * n,
}


def seconds(text: str) -> float:
    """The least time of three checks."""
    times = []
    for _ in range(3):
        start = thread_time()
        check(Item(text, "7", QUESTION))
        times.append(thread_time() - start)
    return min(times)


def benchmark_seconds() -> float:
    """The time of `BENCHMARK_TRACES`."""
    traces = list(gsm8k_like(BENCHMARK_TRACES))
    start = thread_time()
    for trace in traces:
        check(Item(trace.text, trace.gold, trace.question))
    return thread_time() - start


@pytest.mark.parametrize("shape", SHAPES)
def test_a_hundred_thousand_characters_take_at_most_fifty_milliseconds(shape: str) -> None:
    text = SHAPES[shape](100_000)
    assert len(text) > 90_000
    before = benchmark_seconds()
    assert (taken := seconds(text)) < before or taken < benchmark_seconds()


@pytest.mark.parametrize("shape", ["thoughts", "numbers", "ranges"])
def test_ten_times_the_length_takes_at_most_some_ten_times_the_time(shape: str) -> None:
    shorter, longer = (seconds(SHAPES[shape](n)) for n in (90_000, 900_000))
    assert longer < 20 * max(shorter, 0.002)


@pytest.mark.parametrize(
    ("text", "answer", "correct"),
    [
        (f"<think>So \\boxed{{7}}. {'Hmm. ' * 15_000}</think>", "7", True),
        (f"<think>{'Hmm. ' * 20_000}So \\boxed{{7}}.", None, False),
        (f"<think>\\boxed{{7}}</think>{'We see. ' * 10_000}So \\boxed{{8}}.", "8", False),
        ("First \\boxed{8}. No: it is \\boxed{7}.", "7", True),
        ("[THINK]It is 8.[/THINK]The answer is 7.", "7", True),
    ],
)
def test_the_answer_of_a_long_trace_is_its_last_one_outside_thoughts(
    text: str, answer: str | None, correct: bool | None
) -> None:
    findings = check(Item(text, "7", QUESTION))
    assert (findings.answer, findings.correct) == (answer, correct)
