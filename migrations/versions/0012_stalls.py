"""The lease of the leading feeder, ids of claims, the models of traces, and how a job reads its source."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "leader",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_leader_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leader")),
    )
    op.execute("insert into leader (id) values (1)")
    op.create_table(
        "models",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("settings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_models")),
    )
    op.add_column("traces", sa.Column("model_hash", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("source_options", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("job_questions", sa.Column("claim_id", sa.Uuid(), nullable=True))


def downgrade() -> None:
    # In the order in which workers lock them.
    op.drop_table("leader")
    op.drop_table("models")
    op.drop_column("traces", "model_hash")
    op.drop_column("jobs", "source_options")
    op.drop_column("job_questions", "claim_id")
