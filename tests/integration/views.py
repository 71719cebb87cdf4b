"""What the tests of the views share: the order of each view's rows, and rows as tables."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from db.session import transaction

#: Every view, and the columns that its rows are sorted by.
ORDERS = {
    "trace_scores": "trace_id",
    "job_progress": "job_id",
    "acceptance": "job, variant, domain, difficulty",
    "round_lineage": "round, position, role, evaluation_stage desc",
    "round_exclusions": "question_id",
    "round_answers": "round, stage desc, benchmark, question_id",
    "round_flips": "round, benchmark, question_id",
    "round_results": "round, stage desc, domain, length desc, difficulty",
}
Row = dict[str, Any]


def rows(view: str) -> list[Row]:
    """All rows of a view, every column."""
    with transaction() as connection:
        result = connection.execute(text(f"select * from {view} order by {ORDERS[view]}"))
        return [dict(row) for row in result.mappings()]


def table(header: str, *lines: Sequence[Any]) -> list[Row]:
    """Rows of these columns."""
    return [dict(zip(header.split(), line, strict=True)) for line in lines]
