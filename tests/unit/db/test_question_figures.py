"""The query of a job's questions agrees with the code that it repeats."""

import re

from db.queries import Q
from tracemill.verification.answers.extract import STRICT_FORMS


def test_an_answer_is_malformed_without_one_of_the_requested_forms() -> None:
    forms = re.search(r"answer_form = any\('\{([a-z,]+)\}'\)", str(Q["question_figures"]))
    assert forms is not None
    assert set(forms[1].split(",")) == STRICT_FORMS
