"""What an evaluation measures beside its accuracy, and views of its answers."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

MEANS = ("steps", "faithfulness", "coherence", "tokens_out")
BY_K = ("pass_at", "majority_at")
VIEWS = Path(__file__).parents[1] / "views"


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("benchmark", sa.String(), nullable=True))
    # The repetition of job `before` in round `r` is called `r/before`.
    op.execute(
        "update evaluations e set benchmark = case when e.stage = 'before' then j.name "
        "else substring(j.name from length(r.name) + 2) end "
        "from jobs j, rounds r where j.id = e.job_id and r.id = e.round_id"
    )
    op.alter_column("evaluations", "benchmark", nullable=False)
    for name in BY_K:
        kind = postgresql.JSONB(astext_type=sa.Text())
        op.add_column("evaluations", sa.Column(name, kind, server_default="{}", nullable=False))
    for name in MEANS:
        op.add_column("evaluations", sa.Column(name, sa.REAL(), nullable=True))
    op.execute(sa.text((VIEWS / "0006.sql").read_text(encoding="utf-8")))


def downgrade() -> None:
    op.execute(
        "drop view round_flips, round_results, round_answers, round_lineage, acceptance, job_progress, trace_scores"
    )
    for name in (*MEANS, *BY_K, "benchmark"):
        op.drop_column("evaluations", name)
    op.execute(sa.text((VIEWS / "0003.sql").read_text(encoding="utf-8")))
