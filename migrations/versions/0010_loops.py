"""The table of loops."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "loops",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="running", nullable=False),
        sa.Column("step", sa.String(), server_default="attempt", nullable=False),
        sa.Column("round", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("awaits", sa.String(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("shots", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("nudge_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended", sa.String(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state in ('running', 'stopped', 'failed', 'done')", name=op.f("ck_loops_state")),
        sa.CheckConstraint("step in ('attempt', 'rationalize', 'train')", name=op.f("ck_loops_step")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_loops")),
        sa.UniqueConstraint("name", name=op.f("uq_loops_name")),
    )


def downgrade() -> None:
    op.drop_table("loops")
