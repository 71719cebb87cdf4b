"""Rounds on the student's own samples: jobs of purpose `round`, jobs that score the traces of another one.

A worker of the release before would answer where it should score, so it must not work with this schema.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

PURPOSES = ("teach", "evaluate")
STEPS = ("attempt", "rationalize", "train")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("scores", sa.String(), nullable=True))
    op.create_check_constraint(op.f("ck_jobs_scores"), "jobs", "scores in ('tokens', 'text')")
    _allow("jobs", "purpose", *PURPOSES, "round")
    _allow("loops", "step", *STEPS, "score")


def downgrade() -> None:
    op.execute("update jobs set purpose = 'teach' where purpose = 'round'")
    op.execute("update loops set state = 'stopped', step = 'attempt' where step = 'score'")
    _allow("loops", "step", *STEPS)
    _allow("jobs", "purpose", *PURPOSES)
    op.drop_column("jobs", "scores")


def _allow(table: str, column: str, *values: str) -> None:
    name = op.f(f"ck_{table}_{column}")
    op.drop_constraint(name, table, type_="check")
    listed = ", ".join(f"'{value}'" for value in values)
    op.create_check_constraint(name, table, f"{column} in ({listed})")
