"""Signals from one yes-or-no question: rating, coherence, agreement. The score is the probability of "yes", 0 to 1."""

from tracemill.engines import Engine
from tracemill.event_loop import gather
from tracemill.verification.judge import prompt_parts
from tracemill.verification.judge.case import Case
from tracemill.verification.judge.quoting import quoted

#: Steps of one trace whose coherence is asked about at most.
MAX_TRANSITIONS = 20

RATING = prompt_parts.template(
    "{question}\n{reasoning}\n{answer}\n"
    "Does this reasoning lead to this answer, without a mistake? Reply with one word, yes or no."
)
# The slot `answer` holds the step in question.
COHERENCE = prompt_parts.template(
    "{question}\n{reasoning}\n{answer}\n"
    "Does the next step follow from the question and from the steps before it? Reply with one word, yes or no."
)
# The slot `reasoning` holds the reference.
AGREEMENT = prompt_parts.template(
    "{question}\n{reasoning}\n{answer}\n"
    "Does the answer say the same as the reference, in reply to the question? Reply with one word, yes or no."
)


async def rating(engine: Engine, case: Case, max_chars: int) -> float | None:
    """Does the reasoning lead to the answer? None without an answer, or when the judge says neither yes nor no.

    The probability of the word, not a number that the judge writes: Kadavath et al. 2022 (arXiv:2207.05221).
    """
    if not case.answer.strip():
        return None
    slots = {
        "question": prompt_parts.question(case, max_chars),
        "reasoning": prompt_parts.reasoning(case.steps, max_chars),
        "answer": prompt_parts.answer(case.answer),
    }
    return await prompt_parts.yes(engine, RATING, slots)


async def coherence(engine: Engine, case: Case, max_chars: int) -> float | None:
    """Does each step follow from the steps before it? The mean from the second step on; a single step scores 1.

    At most `MAX_TRANSITIONS` steps are asked about, evenly spread. None without a step, or when the judge says neither
    yes nor no about any. Thoughts are not asked about: a discarded idea is no gap in the answer, which is a single step
    then. Golovneva et al. 2023 (ROSCOE, arXiv:2212.07919) name the aspect.
    """
    if len(case.steps) < 2 or case.steps_are_thoughts:
        return 1.0 if case.steps else None

    async def follows(index: int) -> float | None:
        slots = {
            "question": prompt_parts.question(case, max_chars),
            "reasoning": prompt_parts.reasoning(case.steps[:index], max_chars),
            "answer": quoted("NEXT STEP", case.steps[index], max_chars),
        }
        return await prompt_parts.yes(engine, COHERENCE, slots)

    scores = await gather(*(follows(index) for index in spread(len(case.steps) - 1)))
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def spread(transitions: int) -> list[int]:
    """The steps to ask about, from 1 to `transitions`: at most `MAX_TRANSITIONS`, with the first and the last."""
    if transitions <= MAX_TRANSITIONS:
        return list(range(1, transitions + 1))
    return [1 + index * (transitions - 1) // (MAX_TRANSITIONS - 1) for index in range(MAX_TRANSITIONS)]


async def agreement(engine: Engine, case: Case, max_chars: int) -> float | None:
    """Do the answer and the reference say the same? None if either is missing, or the judge says neither yes nor no."""
    if case.gold is None or not case.gold.strip() or not case.answer.strip():
        return None
    slots = {
        "question": prompt_parts.question(case, max_chars),
        "reasoning": quoted("REFERENCE", case.gold, max_chars),
        "answer": quoted("ANSWER", case.answer, max_chars),
    }
    return await prompt_parts.yes(engine, AGREEMENT, slots)
