"""Back-off of questions, deaths of engines, paused models, questions left out of an evaluation, and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("job_questions", sa.Column("not_before", sa.DateTime(timezone=True), nullable=True))
    for count in ("absences", "deaths"):
        op.add_column("job_questions", sa.Column(count, sa.SmallInteger(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("leaves_out_failed", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("evaluations", sa.Column("left_out", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "model_pauses",
        sa.Column("alias", sa.String(), primary_key=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "ledger",
        sa.Column("claim_id", sa.Uuid(), primary_key=True),
        sa.Column("job_id", sa.BigInteger(), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("is_lost", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), server_default="0", nullable=False),
        *(
            sa.Column(amount, sa.Double(), server_default="0", nullable=False)
            for amount in ("cost", "spent", "replaced")
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("payee in ('teacher', 'judge')", name=op.f("ck_ledger_payee")),
    )
    op.create_index("ix_ledger_job_id", "ledger", ["job_id"], postgresql_where=sa.text("payee = 'judge' or is_lost"))


def downgrade() -> None:
    op.drop_table("ledger")
    op.drop_table("model_pauses")
    op.drop_column("evaluations", "left_out")
    op.drop_column("jobs", "leaves_out_failed")
    op.drop_index("ix_job_questions_put_off", table_name="job_questions", if_exists=True)
    for column in ("deaths", "absences", "not_before"):
        op.drop_column("job_questions", column)
