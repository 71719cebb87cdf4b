"""Signals from answers that the judge is forced to give: uplift and counterfactual.

Both show the question and a reasoning without its final answer, and ask for the answer alone. The prompts of one trace
have the same beginning, which the engine computes once (prefix caching).
"""

import math
import re
from collections.abc import Sequence
from fractions import Fraction

from tracemill import thinking
from tracemill.engines import Engine, Sampling
from tracemill.event_loop import gather
from tracemill.prompts import Message, render
from tracemill.verification.judge import prompt_parts
from tracemill.verification.judge.case import Case
from tracemill.verification.judge.corruption import corrupted, without_answer
from tracemill.verification.judge.quoting import one_line

#: Answers that are drawn where the engine cannot score a text, and their sampling.
DRAWN, DRAW = 8, Sampling(temperature=1.0, max_tokens=32)
#: Sampling of a forced answer.
FORCE = Sampling(temperature=0.0, max_tokens=32)

_TASK = "State the final answer to the question{}. Reply with the final answer only, without any explanation."
FORCED = prompt_parts.template("{question}\n{reasoning}\n" + _TASK.format(", as this reasoning finds it"))
DIRECT = prompt_parts.template("{question}\n" + _TASK.format(""))

_LEAD = re.compile(r"[^\n]{0,200}\banswer[ \t]{0,3}(?:is\b|:|=)|[^\n]{0,200}=", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?P<sign>[-−]?)\s?[$€£]?\s?(?P<number>[0-9][0-9,]{0,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})"
    r"(?:\s?/\s?(?P<over>[0-9]{1,40}))?\s?(?P<percent>%?)(?:\s?[A-Za-z°]{1,20})?"
)


async def uplift(engine: Engine, case: Case, max_chars: int) -> float | None:
    """P(answer | question, reasoning) − P(answer | question), −1 to 1; 0 for a trace without reasoning.

    P is the probability that the judge's answer begins with the trace's answer, exp(`Engine.score`). Where the engine
    cannot score, P is the share of `DRAWN` answers with the same meaning. The reasoning is shown without its final
    answer. Long answers have small probabilities, hence small uplifts. None without an answer.

    After Hase et al. 2020 (arXiv:2010.04119: does the explanation make the answer easier to predict?).
    """
    answer = one_line(case.answer, prompt_parts.MAX_ANSWER)
    if not answer:
        return None
    steps = without_answer(case.steps, case.answer)
    if not steps:
        return 0.0
    with_it, without = _shown(case, steps, max_chars), _shown(case, [], max_chars)
    scores = await gather(engine.score(with_it, answer), engine.score(without, answer))
    if scores[0] is not None and scores[1] is not None:
        return math.exp(scores[0].logprob) - math.exp(scores[1].logprob)
    shares = await gather(_share(engine, with_it, answer), _share(engine, without, answer))
    return shares[0] - shares[1]


async def counterfactual(engine: Engine, case: Case, max_chars: int) -> float | None:
    """Share of corrupted reasonings that change the judge's forced answer, 0 to 1.

    High: the answer depends on the reasoning. Low: the judge gives the same answer after any reasoning, so the
    reasoning explains nothing to it. None where nothing can be corrupted, or where the judge's thoughts use up its
    tokens. Lanham et al. 2023 (arXiv:2307.13702).
    """
    steps = without_answer(case.steps, case.answer)
    variants = corrupted(steps)
    if not variants:
        return None
    intact, *others = await gather(
        *(engine.generate(_shown(case, shown, max_chars), 1, FORCE) for shown in [steps, *variants])
    )
    if thinking.split(intact.completions[0].text).is_cut_off:
        return None
    answer = meaning(intact.completions[0].text)
    return sum(meaning(other.completions[0].text) != answer for other in others) / len(others)


def _shown(case: Case, steps: Sequence[str], max_chars: int) -> list[Message]:
    slots = {"question": prompt_parts.question(case, max_chars)}
    if not steps:
        return render(DIRECT, slots)
    return render(FORCED, slots | {"reasoning": prompt_parts.reasoning(steps, max_chars)})


async def _share(engine: Engine, messages: list[Message], answer: str) -> float:
    drawn = (await engine.generate(messages, DRAWN, DRAW)).completions
    return sum(meaning(completion.text) == meaning(answer) for completion in drawn) / len(drawn)


def meaning(answer: str) -> str:
    """A normal form of a short answer: an exact rational, or text without case and formatting.

    It uses no algebra, because it reads hostile text in the process of the worker.
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
