"""The score of restatements; every score may be null."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

#: Scores that could not be null before.
REQUIRED = ("equations_checked", "equations_false", "steps")


def upgrade() -> None:
    op.add_column("verdicts", sa.Column("restatements", sa.REAL(), nullable=True))
    for name in REQUIRED:
        op.alter_column("verdicts", name, nullable=True, server_default=None)


def downgrade() -> None:
    for name in REQUIRED:
        op.execute(f"update verdicts set {name} = 0 where {name} is null")
        op.alter_column("verdicts", name, nullable=False)
    op.alter_column("verdicts", "steps", server_default="0")
    op.drop_column("verdicts", "restatements")
