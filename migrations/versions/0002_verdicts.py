"""Verdicts with steps, calibrations of judges, and canaries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def _added() -> tuple[sa.Column, ...]:
    return (
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("majority", sa.REAL(), nullable=True),
        sa.Column("margin", sa.REAL(), nullable=True),
        sa.Column("steps", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_error", sa.BigInteger(), nullable=True),
        sa.Column("ungrounded", sa.BigInteger(), nullable=True),
        sa.Column("concludes", sa.Boolean(), nullable=True),
    )


def upgrade() -> None:
    for column in _added():
        op.add_column("verdicts", column)
    op.create_table(
        "calibrations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("judge", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("n_right", sa.BigInteger(), nullable=False),
        sa.Column("n_wrong", sa.BigInteger(), nullable=False),
        sa.Column("auc", sa.REAL(), nullable=False),
        sa.Column("low", sa.REAL(), nullable=False),
        sa.Column("high", sa.REAL(), nullable=False),
        sa.Column("agreement", sa.REAL(), nullable=False),
        sa.Column("agreement_low", sa.REAL(), nullable=False),
        sa.Column("agreement_high", sa.REAL(), nullable=False),
        sa.Column("bins", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrations")),
    )
    op.create_index("ix_calibrations_judge_model_signal", "calibrations", ["judge", "model", "signal", "id"])
    op.create_table(
        "canaries",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("attack", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("plain", sa.REAL(), nullable=True),
        sa.Column("attacked", sa.REAL(), nullable=True),
        sa.Column("fooled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_canaries_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "attack", name=op.f("pk_canaries")),
    )


def downgrade() -> None:
    op.drop_table("canaries")
    op.drop_index("ix_calibrations_judge_model_signal", table_name="calibrations")
    op.drop_table("calibrations")
    for column in reversed(_added()):
        op.drop_column("verdicts", column.name)
