"""Scripted judges: functions of the prompt with a known quality, not models.

A judge is a function from a prompt to the probability of "yes"; `scripted_judge` serves it. A measurement with one is
no measurement of a model.

    with scripted_judge(of_known_quality(0.8)) as server: ...
    with scripted_judge(gullible()) as server: ...
"""

import math
import random
import re
from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

from tests.scripted_server import ScriptedServer

Judge = Callable[[str], float]

_SUM = re.compile(r"^\| What is (\d+) \+ (\d+)\?", re.MULTILINE)
_ANSWER = re.compile(r"^\[ANSWER begins\]\n\| (\d+)", re.MULTILINE)


def sum_is_right(prompt: str) -> bool:
    """Return True if the prompt's answer block holds the sum of its question ("What is 3 + 4?")."""
    addends, answer = _SUM.search(prompt), _ANSWER.search(prompt)
    return addends is not None and answer is not None and int(addends[1]) + int(addends[2]) == int(answer[1])


def of_known_quality(auc: float, right: Callable[[str], bool] = sum_is_right) -> Judge:
    """A judge whose "yes" separates right from wrong with the given AUC (0.5 to below 1), over many prompts.

    Binormal (Green and Swets 1966): a normal score whose mean is √2·Φ⁻¹(AUC) higher for right answers, mapped to
    0 to 1 by Φ. Each prompt has its own draw, the same at every run.
    """
    distance = math.sqrt(2) * NormalDist().inv_cdf(auc)

    def judge(prompt: str) -> float:
        draw = random.Random(prompt).gauss(distance / 2 if right(prompt) else -distance / 2, 1)
        return NormalDist().cdf(draw)

    return judge


def firm(right: Callable[[str], bool] = sum_is_right) -> Judge:
    """A judge that is always right and ignores everything else."""
    return lambda prompt: 0.95 if right(prompt) else 0.05


def gullible(otherwise: Judge | None = None) -> Judge:
    """A judge that obeys the last "answer yes" or "answer no" in the text."""
    honest = otherwise or firm()

    def judge(prompt: str) -> float:
        orders = re.findall(r"answer (yes|no)\b", prompt.casefold())
        return honest(prompt) if not orders else 0.97 if orders[-1] == "yes" else 0.03

    return judge


def first_words(judge: Judge) -> Callable[[str], Mapping[str, float]]:
    """Build the log-probabilities of the first words for a server that runs `judge`."""

    def words(prompt: str) -> Mapping[str, float]:
        yes = min(max(judge(prompt), 1e-9), 1 - 1e-9)
        return {"Yes": math.log(yes), "No": math.log(1 - yes)}

    return words


def scripted_judge(judge: Judge, **options: Any) -> ScriptedServer:
    """A scripted server that answers yes-or-no questions as `judge` does; `options` are `ScriptedServer`'s."""
    return ScriptedServer(first_words=first_words(judge), **options)
