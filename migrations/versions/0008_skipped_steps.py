"""Verdicts say which steps a trace skips."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SCORES = ("equations_compound", "unused")
VIEWS = Path(__file__).parents[1] / "views"


def upgrade() -> None:
    for name in SCORES:
        op.add_column("verdicts", sa.Column(name, sa.BigInteger(), nullable=True))
    op.execute(sa.text((VIEWS / "0008.sql").read_text(encoding="utf-8")))


def downgrade() -> None:
    op.execute(
        "drop view round_flips, round_results, round_answers, round_lineage, acceptance, job_progress, trace_scores"
    )
    for name in SCORES:
        op.drop_column("verdicts", name)
    for views in ("0003.sql", "0006.sql"):
        op.execute(sa.text((VIEWS / views).read_text(encoding="utf-8")))
