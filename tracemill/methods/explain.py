"""`explain`: four styles of explanation, each a variant: steps, teacher, critic, expert.

Mukherjee et al. 2023, Orca, arXiv:2306.02707: a student learns more from such explanations than from answers alone.

Question: Tom has 3 apples and buys 4 more. How many has he now?
steps:    1. He starts with 3 apples. 2. He buys 4 more: 3 + 4 = 7. The answer is 7.
teacher:  Picture the three apples first. Now four more join them, so we add: 3 + 4 = 7. The answer is 7.
critic:   Does "more" mean on top of what he has? Yes, so we add: 3 + 4 = 7. Check: 7 - 4 = 3. The answer is 7.
expert:   The quantities are disjoint, so the total is the sum: 3 + 4 = 7. The answer is 7.
"""

from collections.abc import Mapping, Sequence

from tracemill.methods import Call, Method, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction

STEPS = (
    "Solve the problem in small steps. Say in each step what you do, why it is allowed and what comes of it, and leave "
    "none out, however plain it seems."
)
TEACHER = (
    "You are a patient teacher. Explain the solution to somebody who meets such a problem for the first time: say in "
    "plain words what is asked, bring in one idea at a time, and say why each follows before you go on."
)
CRITIC = (
    "You are a critical thinker. Separate what the problem says from what one might merely assume, solve it, then "
    "doubt "
    "each conclusion and test the result in another way before you settle on it."
)
EXPERT = {
    "math": "You are a mathematician.",
    "code": "You are a seasoned software engineer.",
    "legal": "You are a legal scholar.",
    "medical": "You are a clinician who writes for an examination board.",
    "general": "You are an expert in the field that the question belongs to.",
}
AS_EXPERT = (
    "Name the principle that the problem turns on, use the terms of the field precisely, and argue as you would "
    "before a colleague: concisely, but with every reason that the conclusion needs."
)


@method
class Explain(Method):
    name = "explain"
    paper = "Mukherjee et al. 2023, Orca, arXiv:2306.02707"

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        tasks = {"steps": STEPS, "teacher": TEACHER, "critic": CRITIC, "expert": f"{EXPERT[domain]} {AS_EXPERT}"}
        return {
            name: (Call("answer", chat(instruction(task, domain), "{question}", shots)),)
            for name, task in tasks.items()
        }
