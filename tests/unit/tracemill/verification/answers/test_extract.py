"""The answers that `extract` returns, with their forms."""

from time import thread_time

import pytest

from tracemill.verification.answers.extract import STRICT_FORMS, Answer, extract
from tracemill.verification.answers.kinds import Kind

ANSWERS = [
    # boxes
    (r"So \boxed{5}.", "5", "boxed"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "boxed"),
    (r"first \boxed{4}, no: \boxed{5}", "5", "boxed"),
    (r"The answer is $\boxed{\{1, \{2\}\}}$", r"\{1, \{2\}\}", "boxed"),
    (r"**Answer:** \boxed{12}", "12", "boxed"),
    (r"\boxed{7} and an unfinished \boxed{8", "7", "boxed"),
    (r"\boxed{9!!}", "9!!", "boxed"),
    (r"\boxed{\boxed{5}}", "5", "boxed"),
    (r"\boxed 5", "5", "boxed"),
    (r"$x = \boxed{1}$ or $x = \boxed{2}$", "1 or 2", "boxed"),
    (r"\boxed{1}, \boxed{2} and \boxed{3}", "1, 2, 3", "boxed"),
    (r"Part a: \boxed{4}. Part b: \boxed{5}", "5", "boxed"),
    (r"$\boxed{90}^\circ$", r"90^\circ", "boxed"),
    (r"\boxed{44}. We can check our answer: $17\cdot 44 = 748 = 9\cdot 83+1$.", "44", "boxed"),
    # statements
    ("12 + 7 = 19. The answer is 19.", "19", "stated"),
    ("The answer is 5. No wait. The answer is 6.", "6", "stated"),
    ("the final answer is: **72**", "72", "stated"),
    ("Final answer: 72 apples.", "72 apples", "stated"),
    ("Answer: $12.50", "$12.50", "stated"),
    ("The answer is $x^2$.", "x^2", "stated"),
    (r"The answer is \(\frac{1}{2}\).", r"\frac{1}{2}", "stated"),
    (r"So the answer is therefore $\frac{3}{4}$.", r"\frac{3}{4}", "stated"),
    ("The answer is\n$$\n5\n$$", "5", "stated"),
    ("### Final Answer\n72", "72", "stated"),
    ("**Final Answer:**\n\n72", "72", "stated"),
    ("**Answer**: 72", "72", "stated"),
    ("**Answer**\n72", "72", "stated"),
    ("ANSWER: 72", "72", "stated"),
    ("<answer>72</answer>", "72", "stated"),
    ("The answer to the question is 8.", "8", "stated"),
    ("The answer is 5 because 2 + 3 = 5.", "5", "stated"),
    ("The answer is 3.5. I hope it helps.", "3.5", "stated"),
    ("The answer is that she has 12 apples left.", "12 apples left", "stated"),
    ("The answer is John has 12 apples.", "12 apples", "stated"),
    ("The answer would be about 7 apples.", "7 apples", "stated"),
    ("The answer is 25%.", "25%", "stated"),
    ("The answer is (B).", "(B)", "stated"),
    ("The answer is yes.", "yes", "stated"),
    ("The answer is -4", "-4", "stated"),
    ("The answer is 5. That answer is correct.", "5", "stated"),
    ("The answers are:\n- 5\n- 6", "5, 6", "stated"),
    # words that make it two answers, or none, stay in the value
    ("The answer is 5 or 6.", "5 or 6", "stated"),
    ("The answer is 5, but it could also be 6.", "5, but it could also be 6", "stated"),
    ("The answer is one of 5, 6, 7.", "5, 6, 7", "stated"),
    ("The answer is definitely not 5.", "not 5", "stated"),
    ("The answer is not 5 but 6.", "6", "stated"),
    ("She has 3 or maybe 4.", "3 or maybe 4", "last number"),
    ("It is not 4.", "It is not 4", "last number"),
    ("Hence $x = 3$ or $x = -3$.", "x = 3 or x = -3", "equation"),
    # the form of GSM8K
    ("half of 10 is 5\n#### 5", "5", "hashes"),
    ("#### 1,234", "1,234", "hashes"),
    ("#### $18", "$18", "hashes"),
    ("#### -3.5\n\n", "-3.5", "hashes"),
    ("#### **18**", "18", "hashes"),
    # lenient
    ("The answer is not obvious. 3 + 4 = 7", "7", "equation"),
    ("3 + 4 = 7. The answer is", "7", "equation"),
    ("3 + 4 = 7. The answer is .", "7", "equation"),
    ("#### Step 1: add\n3 + 4 = 7", "7", "equation"),
    ("#### 1. First step\n3 + 4 = 7", "7", "equation"),
    ("12 + 7 - 5 = 14", "14", "equation"),
    ("12 + 7 = 19, 19 - 5 = $14 left", "$14", "equation"),
    ("48/2 = <<48/2=24>>24 clips", "24", "equation"),
    ("x = 1/2", "1/2", "equation"),
    ("6 = 5", "6 = 5", "equation"),
    ("5 + -7 = -2", "-2", "equation"),
    ("She has 1,200 left", "1,200", "last number"),
    ("It falls to -4 degrees", "-4", "last number"),
    ("So, John will save $360 in 12 months.", "$360", "last number"),
    ("She needed 132 spoons of flour to make 16 muffins.", "132", "last number"),
    ("He can skip 4 classes because 10 - 6 = 4.", "4", "last number"),
    ("Since 5 + 5 = 10, he has 3 left.", "3", "last number"),
    ("Thus, it takes **8 hours** to fill 3 pools.", "8 hours", "last number"),
    ("The solution set is $(-\\infty, 3]$.", r"(-\infty, 3]", "last number"),
    ("They get $118 000.", "$118 000", "last number"),
    ("The ratio is 5:9.", "5:9", "last number"),
    ("No, it is 7.", "7", "last number"),
    ("It is $5$.", "5", "last number"),
    ("- x = 9", "9", "equation"),
    ("A circle is $x^2 + y^2 = 9$.", "9", "equation"),
    ("3 + 4 = 7\nI hope this helps!", "7", "equation"),
    # only the text after the thoughts counts
    (r"<think>\boxed{4}</think>The answer is 5.", "5", "stated"),
    (r"<think>\boxed{4}</think> So we get 5.", "5", "last number"),
    (r"<think>So \boxed{4}</think>  ", "4", "boxed"),
    ("The answer is 5.<|im_end|>", "5", "stated"),
]  # fmt: skip

OTHER_KINDS: list[tuple[str, Kind, str]] = [
    ("(A) is in England. Therefore it is (B).", "choice", "Therefore it is (B)"),
    ("B. 5 km", "choice", "B. 5 km"),
    ("7 is prime. So yes.", "boolean", "So yes"),
    ("No, because 9 is divisible by 3.", "boolean", "No, because 9 is divisible by 3"),
    ("The capital is Paris.", "text", "The capital is Paris"),
    ("It was **Isaac Newton** who found it.", "text", "It was **Isaac Newton** who found it"),
    ("Nov. 5", "text", "Nov. 5"),
    ("```python\nprint(5)\n```", "code", "print(5)"),
]

WITHOUT_ANSWER = [
    "", "   ", "I do not know.", "The answer is", "Answer:", r"\boxed{}", r"\boxed{", "####", "**Final Answer**",
    "I am not able to answer.",
]  # fmt: skip


@pytest.mark.parametrize(("text", "value", "form"), ANSWERS)
def test_the_answer_and_its_form_are_extracted(text: str, value: str, form: str) -> None:
    assert extract(text) == Answer(value, form)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "kind", "value"), OTHER_KINDS)
def test_other_kinds_take_the_last_sentence_with_such_an_answer(text: str, kind: Kind, value: str) -> None:
    answer = extract(text, kind)
    assert answer is not None
    assert answer.value == value


@pytest.mark.parametrize("text", WITHOUT_ANSWER)
def test_a_text_without_an_answer_gives_none(text: str) -> None:
    assert extract(text) is None


def test_the_last_strict_form_in_the_text_counts() -> None:
    assert extract(r"\boxed{5} Hmm. The answer is 6.") == Answer("6", "stated")
    assert extract("The answer is 6.\n#### 7") == Answer("7", "hashes")
    assert frozenset({"stated", "boxed", "hashes"}) == STRICT_FORMS


@pytest.mark.parametrize("kind", ["number", "choice", "boolean", "text", "code"])
@pytest.mark.parametrize(
    "unit",
    ["answer ", "the answer is ", "answer to ", "answer:\t", r"\boxed{", r"\boxed{1} or ", "#### \n", "<answer>", "$",
     "**Final Answer** \t \n", "1,", "=", "1=", "<<1=", "** ", "((", "1.", " ", "\\", "- 1", "a, because ", "x = 1, ",
     "</think>", "$1$ ", "1 or ", "(A) ", "yes no ", "\n", "1 1/", "Since 1, ", "|>", "答案是", "the answer is\n- 1\n"],
)  # fmt: skip
def test_extraction_from_a_megabyte_takes_under_two_seconds(unit: str, kind: Kind) -> None:
    start = thread_time()
    extract(unit * (1_000_000 // len(unit)), kind)
    assert thread_time() - start < 2
