"""`rationalize`: a new attempt with the gold answer as a hint, which the trace must not reveal.

Zelikman et al. 2022, STaR, arXiv:2203.14465: for questions without a right attempt so far. A student learns from the
question and the reasoning, without the hint.

Question: Ann has 3 bags of 4 apples and eats 2. How many are left?  [Correct answer: 10]
Kept:     The bags hold 3 * 4 = 12 apples. She eats 2, so 12 - 2 = 10. The answer is 10.
Refused:  As the hint says, the answer is 10.
"""

from collections.abc import Mapping, Sequence

from tracemill.methods import Call, Method, Need, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction
from tracemill.methods.hinted import DISCREET, QUESTION_AND_GOLD, refusal_of_hinted
from tracemill.verification.checks import Findings

TASK = f"Solve the problem step by step. {DISCREET}"


@method
class Rationalize(Method):
    name = "rationalize"
    paper = "Zelikman et al. 2022, STaR, arXiv:2203.14465"
    needs: frozenset[Need] = frozenset({"gold"})

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        return {"": (Call("answer", chat(instruction(TASK, domain), QUESTION_AND_GOLD, shots)),)}

    def refusal(self, text: str, findings: Findings) -> str | None:
        return refusal_of_hinted(text, findings)
