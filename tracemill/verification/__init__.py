"""Verification: is a trace right, and does its reasoning hold?

    from tracemill.verification import Item, verify, verify_many

    verdict = verify(Item("3 + 4 = 7. The answer is 7.", gold="7"))
    verdicts = verify_many(items, workers=8)

- `verify`, `verify_many` and `Verifier`: the pipeline, from traces to verdicts. `docs/verification.md` explains each.
- `answers`: extract the final answer, and compare it with the gold answer.
- `reasoning`: steps, equations, grounding of numbers.
- `code`: programs, run against tests in a sandbox.
- `judge`: the LLM verifier.
- `scorers`: the judges that data sets bring.
- `rewards`: reward functions for trl, verl and OpenRLHF. `server`: verdicts over HTTP.
- `leakage`: phrases that show what a model was told.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracemill.verification.answers.voting import Vote
    from tracemill.verification.checks import Findings, Item
    from tracemill.verification.judge import Judged
    from tracemill.verification.pipeline import Verifier, verify, verify_many
    from tracemill.verification.scorers import Scoring
    from tracemill.verification.verdict import Verdict

__all__ = ["Findings", "Item", "Judged", "Scoring", "Verdict", "Verifier", "Vote", "verify", "verify_many"]

#: The module of each public name. They are imported at first use: the children that check traces need only some.
_MODULES = {
    "Findings": "checks",
    "Item": "checks",
    "Judged": "judge",
    "Scoring": "scorers",
    "Verdict": "verdict",
    "Verifier": "pipeline",
    "Vote": "answers.voting",
    "verify": "pipeline",
    "verify_many": "pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
