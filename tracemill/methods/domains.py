"""The instructions of each domain, for every method: how to work, and how to end."""

from typing import NamedTuple


class Wording(NamedTuple):
    """The domain's sentences in a method's instruction."""

    #: How to work in this domain; may be empty.
    work: str
    #: How to give the final answer.
    end: str


#: The field's own sentence: model cards recommend it, and models of mathematics are trained with it.
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
STATED = 'End with one sentence: "The answer is N." where N is the final answer alone.'

WORDING = {
    "math": Wording("Write every calculation as an equation.", "Put your final answer within \\boxed{}."),
    "code": Wording(
        "Say what the program must do, choose an approach, and think of its edge cases.",
        "End with the whole program, and nothing else, in one block that begins with ```python and ends with ```.",
    ),
    "legal": Wording(
        "Name the issue, cite the rule, statute or case that decides it, and apply it to the facts. Cite only what the "
        "question or the law really says.",
        STATED,
    ),
    "medical": Wording(
        "Reason from the findings to what explains them, and say what speaks against it. This is an exercise for "
        "training and no medical advice: address no patient and recommend no treatment to anyone.",
        STATED,
    ),
    "general": Wording("", STATED),
}


def instruction(task: str, domain: str) -> str:
    """The system message: the method's task, and the domain's `work` and `end`."""
    return f"{review(task, domain)} {WORDING[domain].end}"


def review(task: str, domain: str) -> str:
    """The system message of a call that gives no final answer: the task and the domain's `work`."""
    return f"{task} {WORDING[domain].work}".rstrip()
