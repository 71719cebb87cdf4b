"""What the judge answers when it is made to answer: uplift and counterfactual.

Both show the question and a reasoning without its final answer, and ask for the answer alone. The prompts of one trace
begin alike, so the engine computes most of each only once (prefix caching).
"""

import asyncio
import math
import re
from collections.abc import Sequence
from fractions import Fraction

from tracemill import thinking
from tracemill.engines import Engine, Sampling
from tracemill.prompts import Message, render
from tracemill.verification.judge import prompt_parts
from tracemill.verification.judge.case import Case
from tracemill.verification.judge.corruption import corrupted, without_answer
from tracemill.verification.judge.quoting import one_line

#: Where the engine cannot score a text: how many answers are drawn, and how.
DRAWN, DRAW = 8, Sampling(temperature=1.0, max_tokens=32)
#: How an answer is forced.
FORCE = Sampling(temperature=0.0, max_tokens=32)

_ASKED = "State the final answer to the question{}. Reply with the final answer only, without any explanation."
FORCED = prompt_parts.template("{question}\n{reasoning}\n" + _ASKED.format(", as this reasoning finds it"))
DIRECT = prompt_parts.template("{question}\n" + _ASKED.format(""))

_LEAD = re.compile(r"[^\n]{0,200}\banswer[ \t]{0,3}(?:is\b|:|=)|[^\n]{0,200}=", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?P<sign>[-−]?)\s?[$€£]?\s?(?P<number>[0-9][0-9,]{0,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})"
    r"(?:\s?/\s?(?P<over>[0-9]{1,40}))?\s?(?P<percent>%?)(?:\s?[A-Za-z°]{1,20})?"
)


async def uplift(engine: Engine, case: Case, room: int) -> float | None:
    """P(answer | question, reasoning) − P(answer | question), −1 to 1; 0 for a trace that shows no reasoning.

    P is the probability that the judge's answer begins with the trace's, exp(`Engine.score`); where the engine cannot
    score, the share of `DRAWN` answers that mean the same. The reasoning is shown without its final answer. Long
    answers have small probabilities, hence small uplifts. Null without an answer.

    After Hase et al. 2020 (arXiv:2010.04119: does the explanation make the answer easier to predict?).
    """
    answer = one_line(case.answer, prompt_parts.ANSWER)
    if not answer:
        return None
    steps = without_answer(case.steps, case.answer)
    if not steps:
        return 0.0
    with_it, without = _shown(case, steps, room), _shown(case, [], room)
    scores = await asyncio.gather(engine.score(with_it, answer), engine.score(without, answer))
    if scores[0] is not None and scores[1] is not None:
        return math.exp(scores[0].logprob) - math.exp(scores[1].logprob)
    shares = await asyncio.gather(_share(engine, with_it, answer), _share(engine, without, answer))
    return shares[0] - shares[1]


async def counterfactual(engine: Engine, case: Case, room: int) -> float | None:
    """Share of corrupted reasonings after which the judge's forced answer is another than after the intact one, 0 to 1.

    High: the answer depends on what the reasoning says. Low: the judge answers the same whatever stands there, so the
    reasoning explains nothing to it. Null when there is nothing to corrupt, or the
    judge's own thoughts left no room for its answer. Lanham et al. 2023 (arXiv:2307.13702).
    """
    steps = without_answer(case.steps, case.answer)
    variants = corrupted(steps)
    if not variants:
        return None
    intact, *others = await asyncio.gather(
        *(engine.generate(_shown(case, shown, room), 1, FORCE) for shown in [steps, *variants])
    )
    if thinking.split(intact.completions[0].text).is_cut_off:
        return None
    answer = meaning(intact.completions[0].text)
    return sum(meaning(other.completions[0].text) != answer for other in others) / len(others)


def _shown(case: Case, steps: Sequence[str], room: int) -> list[Message]:
    slots = {"question": prompt_parts.question(case, room)}
    if not steps:
        return render(DIRECT, slots)
    return render(FORCED, slots | {"reasoning": prompt_parts.reasoning(steps, room)})


async def _share(engine: Engine, messages: list[Message], answer: str) -> float:
    drawn = (await engine.generate(messages, DRAWN, DRAW)).completions
    return sum(meaning(completion.text) == meaning(answer) for completion in drawn) / len(drawn)


def meaning(answer: str) -> str:
    """A short answer in a form in which equal answers are equal: an exact rational, or text without case and dress.

    Deliberately no algebra: this runs in the worker's own process, on hostile text.
    """
    line = next((line for line in thinking.split(answer).answer[:2000].splitlines() if line.strip()), "")
    if lead := _LEAD.match(line):
        line = line[lead.end() :]
    line = line.replace("\\boxed{", "").strip(" \t*_`\"'$.!:;(){}[]\\")
    number = _NUMBER.fullmatch(line)
    if number is None:
        return " ".join(re.findall(r"[^\W_]+|[-+/%<>=]", line.casefold()))
    over = int(number["over"] or 1)
    if over == 0:
        return line
    value = Fraction(number["number"].replace(",", "")) / over
    return f"{-value if number['sign'] else value}{number['percent']}"
