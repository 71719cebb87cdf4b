r"""Take the final answer out of a gold answer that is a whole solution.

Hendrycks MATH has nothing but solutions with ``\boxed{…}``, GSM8K ends its solutions with ``#### 72``.
"""

import re

from tracemill.verification.answers.extract import STRICT_FORMS, extract
from tracemill.verification.answers.kinds import guess

_SOLUTION = re.compile(
    r"\\(?:boxed|fbox)(?![a-z])|^#### ?\S|\n#### ?\S|\bthe (?:final )?answer is\b|\bfinal answer ?:", re.IGNORECASE
)
_PROGRAM = re.compile(r"```|^\s*(?:assert|def|import|from|class)\s", re.MULTILINE)


def final_answer(gold: str) -> str:
    """Return the final answer of a gold solution; any other gold answer as it is."""
    if len(gold) < 6 or _SOLUTION.search(gold) is None or _PROGRAM.search(gold):
        return gold
    answer = extract(gold, guess(None, None))
    return answer.value if answer is not None and answer.form in STRICT_FORMS else gold
