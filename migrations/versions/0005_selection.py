"""The curriculum's stage of an example, and the questions that a round excludes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("examples", sa.Column("stage", sa.SmallInteger(), server_default="0", nullable=False))
    op.create_table(
        "exclusions",
        sa.Column("round_id", sa.BigInteger(), nullable=False),
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("evaluation_question_id", sa.BigInteger(), nullable=False),
        sa.Column("share", sa.REAL(), nullable=False),
        sa.CheckConstraint("rule in ('exact', 'normalised', 'ngram')", name=op.f("ck_exclusions_rule")),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_exclusions_round_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_exclusions_question_id")),
        sa.ForeignKeyConstraint(
            ["evaluation_question_id"], ["questions.id"], name=op.f("fk_exclusions_evaluation_question_id")
        ),
        sa.PrimaryKeyConstraint("round_id", "question_id", name=op.f("pk_exclusions")),
    )


def downgrade() -> None:
    op.drop_table("exclusions")
    op.drop_column("examples", "stage")
