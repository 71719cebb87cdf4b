"""`stepwise`: numbered steps, stored one by one; `stepwise-gold` also shows the gold answer.

Hsieh et al. 2023, Distilling Step-by-Step, arXiv:2305.02301: a student learns the rationale and the label as two tasks.

Question: Ann has 3 bags of 4 apples and eats 2. How many are left?
Text:     Step 1: The bags hold 3 * 4 = 12 apples.
          Step 2: She eats 2, so 12 - 2 = 10 are left.
          The answer is 10.
Steps:    {"number": 1, "text": "The bags hold 3 * 4 = 12 apples.", "operation": "3 * 4", "result": "12"}
          {"number": 2, "text": "She eats 2, so 12 - 2 = 10 are left.", "operation": "12 - 2", "result": "10"}
Reasoning: the two lines with the steps. Answer: 10
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tracemill import thinking
from tracemill.methods import Call, Method, Need, Parsed, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction
from tracemill.methods.hinted import DISCREET, QUESTION_AND_GOLD, refusal_of_hinted
from tracemill.methods.labels import rationale
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Findings
from tracemill.verification.reasoning.arithmetic import tokens_of
from tracemill.verification.reasoning.equation_sides import after, before
from tracemill.verification.reasoning.equations import MAX_TEXT, cut
from tracemill.verification.reasoning.steps import split

TASK = (
    'Work in numbered steps, each on a line of its own that begins with "Step 1:", "Step 2:" and so on. A step does '
    "one thing and says what comes of it. Give the final answer after the last step, on a line of its own."
)

READ = 2_000  # last characters of a step that are searched for its equation
MAX_SIGNS = 20  # equality signs that are tried in one step, from its end

_MARKER = re.compile(r"\s{0,9}(?:#{1,6} |[-*•] )?[*_]{0,2}[Ss]tep (\d{1,3})(?!\d)[*_]{0,2}[:.)–—-]?[*_]{0,2}[ \t]{0,9}")


@method
class Stepwise(Method):
    name = "stepwise"
    paper = "Hsieh et al. 2023, Distilling Step-by-Step, arXiv:2305.02301"

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        return {"": (Call("answer", chat(instruction(TASK, domain), "{question}", shots)),)}

    def parse(self, text: str, kind: Kind) -> Parsed:
        """`reasoning` is the rationale without the label, or the thoughts if there is no rationale."""
        parsed = super().parse(text, kind)
        thoughts, answer_text, _ = thinking.split(text)
        reasons = rationale(answer_text, kind)
        return Parsed(reasons or thoughts or "", parsed.answer, parsed.answer_form, _steps(reasons))


@method
class StepwiseGold(Stepwise):
    name = "stepwise-gold"
    needs: frozenset[Need] = frozenset({"gold"})

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        return {"": (Call("answer", chat(instruction(f"{TASK} {DISCREET}", domain), QUESTION_AND_GOLD, shots)),)}

    def refusal(self, text: str, findings: Findings) -> str | None:
        return refusal_of_hinted(text, findings)


def _steps(reasons: str) -> list[dict[str, Any]]:
    """The steps with their own numbers. If no step has one, the verifier's steps, numbered from 1.

    Reads at most `equations.MAX_TEXT` characters.
    """
    steps = [(step, _MARKER.match(step)) for step in split(reasons[:MAX_TEXT])]
    numbered = [(int(mark[1]), step[mark.end() :].strip()) for step, mark in steps if mark]
    numbered = numbered or [(number, step) for number, (step, _) in enumerate(steps, 1)]
    worked = [_worked(text[-READ:]) for _, text in numbered]
    return [
        {"number": number, "text": text, "operation": operation, "result": result}
        for (number, text), (operation, result) in zip(numbered, worked, strict=True)
        if text
    ]


def _worked(step: str) -> tuple[str | None, str | None]:
    """(operation, result) of the last calculation in a step, or (None, right side) of another equation."""
    tokens = tokens_of(cut(step))
    result = None
    for at in [at for at, token in enumerate(tokens) if token.kind in ("=", "≈", "is")][: -MAX_SIGNS - 1 : -1]:
        left, right = before(tokens, at), after(tokens, at + 1)
        if left and left.computes:
            return left.text, right.text if right else result
        if right and tokens[at].kind != "is":
            result = result or right.text
    return None, result
