r"""`cot`: think step by step, n samples a question.

Wei et al. 2022, arXiv:2201.11903; self-consistency over the samples: Wang et al. 2022, arXiv:2203.11171.

Question: Tom has 3 apples and buys 4 more. How many has he now?
Answer:   3 + 4 = 7. The answer is \boxed{7}.

A math question is asked without a system message, as model cards recommend it.
"""

from collections.abc import Mapping, Sequence

from tracemill.methods import Call, Method, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import BOXED, instruction

TASK = "Solve the problem step by step."


@method
class Cot(Method):
    name = "cot"
    paper = "Wei et al. 2022, Chain-of-Thought Prompting, arXiv:2201.11903; Wang et al. 2022, arXiv:2203.11171"

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        if domain == "math":
            prompt = chat(None, "{question}", shots, request=BOXED)
        else:
            prompt = chat(instruction(TASK, domain), "{question}", shots)
        return {"": (Call("answer", prompt),)}
