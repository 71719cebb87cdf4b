"""Shared parts of the methods that show the model the gold answer as a hint."""

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


def refusal_of_hinted(text: str, findings: Findings) -> str | None:
    """Why a trace is unusable: it reveals the hint, or it only states the answer. Otherwise None."""
    words = betrayal(thinking.answer_of(text))
    return f'it reveals that the answer was given: "{words}"' if words else asserted(text, findings)
