"""Results of an evaluation besides its accuracy."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

MEANS = ("steps", "faithfulness", "coherence", "tokens_out")
BY_K = ("pass_at", "majority_at")


def upgrade() -> None:
    op.add_column("evaluations", sa.Column("benchmark", sa.String(), nullable=True))
    # The job that repeats job `before` for round `r` has the name `r/before`.
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


def downgrade() -> None:
    for name in (*MEANS, *BY_K, "benchmark"):
        op.drop_column("evaluations", name)
