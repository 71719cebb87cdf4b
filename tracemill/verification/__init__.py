"""Verification: is a trace right, and does its reasoning hold?

    from tracemill.verification import Item, verify

    verdicts = verify([Item(text="3 + 4 = 7. The answer is 7.", gold="7")])

- `verify` and `Verifier`: the pipeline, from traces to verdicts. `docs/verification.md` explains each figure.
- `answers`: extract the final answer, and compare it with the gold answer.
- `reasoning`: steps, equations, grounding of numbers.
- `code`: programs, run against tests in a sandbox.
- `judge`: the LLM verifier.
- `leakage`: phrases that show what a model was told.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracemill.verification.answers.voting import Vote
    from tracemill.verification.checks import Findings, Item
    from tracemill.verification.judge import Judged
    from tracemill.verification.pipeline import Verifier, verify
    from tracemill.verification.verdict import Verdict

__all__ = ["Findings", "Item", "Judged", "Verdict", "Verifier", "Vote", "verify"]

#: The module of each public name. They are imported at first use: the children that check traces need only some.
_MODULES = {
    "Findings": "checks",
    "Item": "checks",
    "Judged": "judge",
    "Verdict": "verdict",
    "Verifier": "pipeline",
    "Vote": "answers.voting",
    "verify": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
