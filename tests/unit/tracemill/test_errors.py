"""The errors that users see."""

import pytest

from tracemill.errors import unknown_name

MANY = [f"gsm8k-{n}" for n in range(100)]


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("smus", [], "no job 'smus'. Jobs: none yet"),
        ("smus", ["old", "sums"], "no job 'smus'. Jobs: old, sums"),
        ("smus", [*MANY, "sums"], "no job 'smus'. Jobs: sums and 100 more: `tracemill jobs list` shows all"),
        ("x", MANY, "no job 'x'. Jobs: gsm8k-97, gsm8k-98, gsm8k-99 and 97 more: `tracemill jobs list` shows all"),
    ],
)
def test_an_unknown_name_is_answered_with_few_names_the_nearest_first(
    name: str, known: list[str], message: str
) -> None:
    assert str(unknown_name("job", name, known)) == message
