"""`contrast`: plausible reasoning with one error, for contrastive training.

Each kind of error is a variant. Chia et al. 2023, Contrastive Chain-of-Thought Prompting, arXiv:2311.09277. A trace is
accepted as a negative example only if its answer is verified to be wrong and its text does not reveal that.

Question: Ann has 3 bags of 4 apples and eats 2. How many are left?
arithmetic:     The bags hold 3 * 4 = 14 apples. She eats 2, so 14 - 2 = 12. The answer is 12.
operation:      The bags hold 3 + 4 = 7 apples. She eats 2, so 7 - 2 = 5. The answer is 5.
missing-step:   The bags hold 3 * 4 = 12 apples. The answer is 12.
interpretation: She eats 2 bags, so 3 - 2 = 1 bag is left, which holds 4 apples. The answer is 4.
Refused:        3 * 4 = 13, which is wrong on purpose. The answer is 13.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tracemill import thinking
from tracemill.methods import Call, Method, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction
from tracemill.methods.labels import asserted, differ, stated
from tracemill.verification.answers import quantities
from tracemill.verification.answers.choices import letters, says
from tracemill.verification.answers.normalize import plain
from tracemill.verification.checks import Findings
from tracemill.verification.leakage.giveaways import giveaway

TASK = (
    "Write a solution as somebody would who is sure of it and yet gets it wrong, for training others to notice such "
    "errors. Work step by step. Make exactly one error, of this kind: {error} Whatever follows builds on the error "
    "soundly, so that the final answer comes out wrong. Write as if all were right: do not mark, mention or correct "
    "the "
    "error, and do not give the right answer anywhere."
)
#: The error of each variant, by domain; the key "" is for domains without their own wording.
ERRORS = {
    "arithmetic": {
        "": "one number, date, share or count is worked out wrong by a slip.",
        "math": "one calculation comes out wrong by a slip, such as a lost carry, sign or digit.",
        "code": "one expression computes a value that is slightly off, such as by one or in its sign.",
        "medical": "one rate, ratio, score or interval is worked out wrong by a slip.",
    },
    "operation": {
        "": "one conclusion is drawn by a rule that does not lead there.",
        "math": "one operation is not the one that the problem calls for, such as a sum for a product.",
        "code": "one operator, condition or call is not the one that the task calls for.",
        "legal": "one right fact is judged by a test or rule that does not govern it.",
        "medical": "one right finding is interpreted by a criterion that does not apply to it.",
    },
    "missing-step": {
        "": "one step that the answer depends on is left out, and nothing is said of it.",
        "code": "one case or step that the task needs is not handled, and nothing is said of it.",
        "legal": "one element of the rule, or its exception, is never examined, and nothing is said of it.",
        "medical": "one finding or alternative that would change the conclusion is never weighed, and nothing is "
        "said of it.",
    },
    "interpretation": {
        "": "one phrase of the problem is taken to mean something that it does not say.",
        "code": "one sentence of the task is taken to ask for something that it does not ask for.",
        "legal": "one fact or term is read in a sense that it does not have.",
        "medical": "one finding is taken for something that it does not show.",
    },
}


@method
class Contrast(Method):
    name = "contrast"
    paper = "Chia et al. 2023, Contrastive Chain-of-Thought Prompting, arXiv:2311.09277"
    negative = True

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        return {
            name: (Call("answer", chat(instruction(task_of(error, domain), domain), "{question}", shots)),)
            for name, error in ERRORS.items()
        }

    def refusal(self, text: str, findings: Findings) -> str | None:
        """Refuse a trace that is trivially wrong or reveals its error. A student cannot learn from it."""
        if words := giveaway(thinking.split(text).answer):
            return f'it reveals its error: "{words}"'
        if findings.answer is None:
            return "it states no answer"
        if not of_its_kind(findings):
            return f"its answer is not of the required kind ({findings.kind}): {findings.answer[:100]}"
        if unfounded := asserted(text, findings):
            return unfounded
        for earlier, later in pairwise(stated(text, findings.kind or "number")):
            if differ(earlier, later):
                return f"it states two answers: {earlier[:100]} and {later[:100]}"
        if findings.concludes is False:
            return "its answer is not the result of its reasoning"
        if findings.equations_false > 1 and 2 * findings.equations_false > findings.equations_checked:
            counts = f"{findings.equations_false} of its {findings.equations_checked}"
            return f"{counts} equations are false: more than one error"
        return None


def task_of(error: Mapping[str, str], domain: str) -> str:
    """The task of one variant, with the error in the domain's wording."""
    return TASK.replace("{error}", error.get(domain, error[""]))


def of_its_kind(findings: Findings) -> bool:
    """Whether the answer may be of the required kind. Doubtful cases give True."""
    answer = plain(findings.answer or "")
    if findings.kind == "number":
        return quantities.read(answer) is not None or any(char.isdigit() for char in answer) or "\\" in answer
    if findings.kind == "choice":
        return bool(letters(answer)) or len(answer) > 1
    if findings.kind == "boolean":
        return says(answer) is not None
    return any(char.isalnum() for char in answer)
