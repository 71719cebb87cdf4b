"""Helpers for tests of the views: sorted rows, and tables of expected rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from db.session import transaction

#: Every view with the sort columns of its rows.
ORDERS = {
    "job_models": "job",
    "trace_scores": "trace_id",
    "trace_details": "trace_id",
    "question_results": "job_id, question_id",
    "round_progress": "round_id",
    "evaluation_questions": "question_id",
    "job_progress": "job_id",
    "job_tiers": "first_job, tier",
    "acceptance": "job, variant, domain, difficulty",
    "round_lineage": "round, position, role, evaluation_stage desc",
    "round_exclusions": "question_id",
    "round_answers": "round, stage desc, benchmark, question_id",
    "round_flips": "round, benchmark, question_id",
    "round_results": "round, stage desc, domain, length desc, difficulty",
}
Row = dict[str, Any]


def rows(view: str) -> list[Row]:
    """Read all rows and columns of a view."""
    with transaction() as connection:
        result = connection.execute(text(f"select * from {view} order by {ORDERS[view]}"))
        return [dict(row) for row in result.mappings()]


def table(header: str, *lines: Sequence[Any]) -> list[Row]:
    """Build rows with these columns."""
    return [dict(zip(header.split(), line, strict=True)) for line in lines]
