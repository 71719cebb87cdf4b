"""What is asked with one yes or no: rating, coherence, agreement. The score is the probability of "yes", 0 to 1."""

import asyncio

from tracemill.engines import Engine
from tracemill.verification.judge import prompt_parts
from tracemill.verification.judge.case import Case
from tracemill.verification.judge.quoting import quoted

#: Most steps of one trace whose coherence is asked about.
TRANSITIONS = 20

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


async def rating(engine: Engine, case: Case, room: int) -> float | None:
    """Does the reasoning lead to the answer? Null when there is no answer, or the judge says neither yes nor no.

    The probability of the word instead of a number that the judge writes: Kadavath et al. 2022 (arXiv:2207.05221).
    """
    if not case.answer.strip():
        return None
    slots = {
        "question": prompt_parts.question(case, room),
        "reasoning": prompt_parts.reasoning(case.steps, room),
        "answer": prompt_parts.answer(case.answer),
    }
    return await prompt_parts.yes(engine, RATING, slots)


async def coherence(engine: Engine, case: Case, room: int) -> float | None:
    """Does each step follow from those before? The mean over the steps from the second on; a single step scores 1.

    Of more than `TRANSITIONS` as many are asked about, evenly spread. Null when there is no step, or the judge says
    neither yes nor no about any. Steps that are thoughts are not asked about: a dropped idea is no gap in the answer,
    which is one step then. Golovneva et al. 2023 (ROSCOE, arXiv:2212.07919) name the aspect.
    """
    if len(case.steps) < 2 or case.steps_are_thoughts:
        return 1.0 if case.steps else None

    async def follows(place: int) -> float | None:
        slots = {
            "question": prompt_parts.question(case, room),
            "reasoning": prompt_parts.reasoning(case.steps[:place], room),
            "answer": quoted("NEXT STEP", case.steps[place], room),
        }
        return await prompt_parts.yes(engine, COHERENCE, slots)

    scores = await asyncio.gather(*(follows(place) for place in spread(len(case.steps) - 1)))
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def spread(transitions: int) -> list[int]:
    """The steps to ask about: from 1 to `transitions`, all of them or `TRANSITIONS` with the first and the last."""
    if transitions <= TRANSITIONS:
        return list(range(1, transitions + 1))
    return [1 + place * (transitions - 1) // (TRANSITIONS - 1) for place in range(TRANSITIONS)]


async def agreement(engine: Engine, case: Case, room: int) -> float | None:
    """Do the answer and the reference say the same? Null without either, or when the judge says neither yes nor no."""
    if case.gold is None or not case.gold.strip() or not case.answer.strip():
        return None
    slots = {
        "question": prompt_parts.question(case, room),
        "reasoning": quoted("REFERENCE", case.gold, room),
        "answer": quoted("ANSWER", case.answer, room),
    }
    return await prompt_parts.yes(engine, AGREEMENT, slots)
