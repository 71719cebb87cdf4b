"""Which answer a trace gives, and in which form."""

from time import perf_counter

import pytest

from workers.checks.answers import STRICT_FORMS, Answer, extract

TABLE = [
    (r"So \boxed{5}.", "5", "boxed"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "boxed"),
    (r"first \boxed{4}, no: \boxed{5}", "5", "boxed"),
    (r"The answer is $\boxed{\{1, \{2\}\}}$", r"\{1, \{2\}\}", "boxed"),
    (r"**Answer:** \boxed{12}", "12", "boxed"),
    (r"\boxed{7} and an unfinished \boxed{8", "7", "boxed"),
    (r"\boxed{9!!}", "9!!", "boxed"),
    ("12 + 7 = 19. The answer is 19.", "19", "stated"),
    ("The answer is 5. No wait. The answer is 6.", "6", "stated"),
    ("the final answer is: **72**", "72", "stated"),
    ("Final answer: 72 apples.", "72 apples", "stated"),
    ("Answer: $12.50", "$12.50", "stated"),
    ("The answer is $x^2$.", "x^2", "stated"),
    (r"The answer is \(\frac{1}{2}\).", r"\frac{1}{2}", "stated"),
    ("The answer is\n$$\n5\n$$", "5", "stated"),
    ("### Final Answer\n72", "72", "stated"),
    ("**Final Answer:**\n\n72", "72", "stated"),
    ("**Answer**: 72", "72", "stated"),
    ("The answer to the question is 8.", "8", "stated"),
    ("The answer is 5 or 6.", "5 or 6", "stated"),
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
    ("The answer is not obvious. 3 + 4 = 7", "7", "equation"),
    ("3 + 4 = 7. The answer is", "7", "equation"),
    ("3 + 4 = 7. The answer is .", "7", "equation"),
    ("half of 10 is 5\n#### 5", "5", "hashes"),
    ("#### 1,234", "1,234", "hashes"),
    ("#### $18", "$18", "hashes"),
    ("#### -3.5\n\n", "-3.5", "hashes"),
    ("#### Step 1: add\n3 + 4 = 7", "7", "equation"),
    ("#### 1. First step\n3 + 4 = 7", "7", "equation"),
    ("12 + 7 - 5 = 14", "14", "equation"),
    ("12 + 7 = 19, 19 - 5 = $14 left", "$14", "equation"),
    ("48/2 = <<48/2=24>>24 clips", "24", "equation"),
    ("x = 1/2", "1/2", "equation"),
    ("5 + -7 = -2", "-2", "equation"),
    ("She has 1,200 left", "1,200", "last number"),
    ("She has 3 or maybe 4.", "4", "last number"),
    ("It falls to -4 degrees", "-4", "last number"),
]


@pytest.mark.parametrize(("text", "value", "form"), TABLE)
def test_the_answer_is_found_in_the_form_it_is_given(text: str, value: str, form: str) -> None:
    assert extract(text) == Answer(value, form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "   ", "I do not know.", "The answer is", "Answer:", r"\boxed{}", r"\boxed{", "####"]
)
def test_a_text_without_an_answer_gives_none(text: str) -> None:
    assert extract(text) is None


def test_the_last_strict_form_in_the_text_counts() -> None:
    assert extract(r"\boxed{5} Hmm. The answer is 6.") == Answer("6", "stated")
    assert extract("The answer is 6.\n#### 7") == Answer("7", "hashes")
    assert frozenset({"stated", "boxed", "hashes"}) == STRICT_FORMS


@pytest.mark.parametrize(
    "unit",
    ["answer ", "the answer is ", "answer to ", "answer:\t", r"\boxed{", "#### \n", "**Final Answer** \t \n", "$",
    "1,", "=",
     "1=", "<<1=", "** ", "((", "1.", " ", "\\", "- 1", "a, because "],
)  # fmt: skip
def test_a_megabyte_of_anything_is_read_in_a_moment(unit: str) -> None:
    start = perf_counter()
    extract(unit * (1_000_000 // len(unit)))
    assert perf_counter() - start < 2
