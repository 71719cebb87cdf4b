"""`cot`: think step by step, n samples a question.

Wei et al. 2022, arXiv:2201.11903; self-consistency over the samples: Wang et al. 2022, arXiv:2203.11171.

Question: Tom has 3 apples and buys 4 more. How many has he now?
Answer:   3 + 4 = 7. The answer is 7.
"""

from collections.abc import Sequence

from tracemill.prompts import Message, Prompt
from workers.checks.answers import extract
from workers.methods import Parsed, Shot, method

SYSTEM = (
    "Solve the problem step by step. Write every calculation as an equation. "
    'End with one sentence: "The answer is N." where N is the final answer alone.'
)


@method
class Cot:
    name = "cot"
    paper = "Wei et al. 2022, Chain-of-Thought Prompting; Wang et al. 2022, Self-Consistency"

    def prompt(self, shots: Sequence[Shot]) -> Prompt:
        turns: list[Message] = [{"role": "system", "content": SYSTEM}]
        for shot in shots:
            turns.append({"role": "user", "content": shot.question})
            turns.append({"role": "assistant", "content": shot.answer})
        return Prompt((*turns, {"role": "user", "content": "{question}"}))

    def parse(self, text: str) -> Parsed:
        answer = extract(text)
        if answer is None:
            return Parsed(text.strip(), None, None)
        return Parsed(text.strip(), answer.value, answer.form)
