"""`inject`: a student answers with a teacher's trace in its prompt (distillation at inference time).

After Magister et al. 2022, Teaching Small Language Models to Reason, arXiv:2212.08410. There students train on such
traces; here they read one. One SQL query compares this with a `cot` job of the same student.

Question: Ann has 3 bags of 4 apples and eats 2. How many are left?
Trace:    3 * 4 = 12. 12 - 2 = 10. The answer is 10.
Answer:   The bags hold 3 * 4 = 12 apples. Without the 2 that she eats, 12 - 2 = 10. The answer is 10.
"""

from collections.abc import Mapping, Sequence

from tracemill.methods import Call, Method, Need, Shot, method
from tracemill.methods.chat import chat
from tracemill.methods.domains import instruction

TASK = (
    "Solve the problem step by step. A worked solution stands below it: follow it where it is sound, leave it where it "
    "is not, and write a solution of your own that can be read without it."
)


@method
class Inject(Method):
    name = "inject"
    paper = "after Magister et al. 2022, Teaching Small Language Models to Reason, arXiv:2212.08410"
    needs: frozenset[Need] = frozenset({"trace"})

    def variants(self, domain: str, shots: Sequence[Shot]) -> Mapping[str, tuple[Call, ...]]:
        prompt = chat(instruction(TASK, domain), "{question}\n\nWorked solution:\n{trace}", shots)
        return {"": (Call("answer", prompt),)}
