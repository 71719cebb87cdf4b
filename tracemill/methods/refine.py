"""`refine`: a draft, a critique, and a better answer.

The answer is the trace; the draft and the critique are stored with it. Madaan et al. 2023, Self-Refine,
arXiv:2303.17651.

Question: Ann has 3 bags of 4 apples and eats 2. How many are left?
draft:    3 + 4 = 7. 7 - 2 = 5. The answer is 5.
critique: Three bags of four hold 3 * 4 apples; the draft adds. The subtraction is right.
answer:   3 * 4 = 12. 12 - 2 = 10. The answer is 10.
"""

import re
from collections.abc import Mapping, Sequence

from tracemill import thinking
from tracemill.methods import Call, Method, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction, review
from tracemill.verification.checks import Findings

DRAFT = "Solve the problem step by step."
CRITIQUE = (
    "You review the draft of a solution. Go through it step by step and check each against the problem: what is wrong, "
    "what is missing, what does not follow, and what should be kept? Be specific and brief, and do not write a "
    "solution "
    "of your own. If nothing is wrong, say so."
)
IMPROVE = (
    "You are shown a problem, a draft of its solution and a review of the draft. Solve the problem step by step from "
    "its "
    "beginning: keep what is right, and put right what is wrong, the review's own errors too. Your solution must stand "
    "alone, so speak of neither the draft nor the review."
)
TO_REVIEW = "Problem:\n{question}\n\nDraft:\n{draft}"
TO_IMPROVE = f"{TO_REVIEW}\n\nReview:\n{{critique}}"

#: Mentions of the draft or its review. A reader of the trace sees neither.
_MENTIONS_DRAFT = re.compile(
    r"\b(?:in|of|from|to) (?:the|my|your) (?:draft|critique|review)\b(?! (?:\w+ )?(?:board|process|committee|period))"
    r"|\b(?:the|my|your) (?:original|previous|earlier|initial|first)? ?(?:draft|critique|review(?:er)?|"
    r"feedback)(?:'s)? "
    r"(?:is|was|says|said|notes|noted|points|pointed|contains|correctly|incorrectly|mistakenly|adds|added|suggests)\b"
    r"|\b(?:improved|revised|corrected|refined) (?:solution|answer|draft|version)\b",
    re.IGNORECASE,
)


@method
class Refine(Method):
    name = "refine"
    paper = "Madaan et al. 2023, Self-Refine, arXiv:2303.17651"

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        return {
            "": (
                Call("draft", chat(instruction(DRAFT, domain), "{question}", shots)),
                Call("critique", chat(review(CRITIQUE, domain), TO_REVIEW)),
                Call("answer", chat(instruction(IMPROVE, domain), TO_IMPROVE)),
            )
        }

    def refusal(self, text: str, findings: Findings) -> str | None:
        mention = _MENTIONS_DRAFT.search(thinking.split(text).answer)
        return f'it mentions a draft that its reader does not see: "{mention[0]}"' if mention else None
