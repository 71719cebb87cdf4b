"""How many ids an export reads in one transaction."""

from cli.export_rows import FIRST_SPAN, MAX_SPAN, next_span


def settled(ids_per_second: float) -> int:
    """The span after 30 transactions at this speed."""
    span = FIRST_SPAN
    for _ in range(30):
        span = next_span(span, span / ids_per_second)
    return span


def test_a_transaction_takes_about_a_second_at_any_speed() -> None:
    for ids_per_second in (3, 1_000, 1_000_000):
        assert 0.5 <= settled(ids_per_second) / ids_per_second <= 1.5


def test_a_span_has_at_least_one_id_and_never_too_many() -> None:
    assert settled(0.01) == 1
    assert settled(1e12) == MAX_SPAN
