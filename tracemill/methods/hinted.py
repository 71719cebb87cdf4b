"""What methods share that tell the model the gold answer: how it is told, and that nobody may notice."""

from tracemill import thinking
from tracemill.methods.labels import asserted
from tracemill.verification.checks import Findings
from tracemill.verification.leakage.hints import betrayal

DISCREET = (
    "You are also shown the correct answer, so that you do not go astray. Derive it from the problem alone and write "
    "as "
    "somebody who does not know it yet: whoever reads your solution must not notice. Do not use it before you have "
    "derived it, and never speak of having been given anything but the problem."
)
QUESTION_AND_GOLD = "{question}\n\n[Correct answer, for your eyes only: {gold}]"


def refusal_of_hinted(text: str, found: Findings) -> str | None:
    """Why a trace shows that its model knew the answer, or does nothing but state it; null: neither."""
    words = betrayal(thinking.answer_of(text))
    return f'it betrays that the answer was given: "{words}"' if words else asserted(text, found)
