"""Scores of verdicts for skipped steps."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SCORES = ("equations_compound", "unused")


def upgrade() -> None:
    for name in SCORES:
        op.add_column("verdicts", sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in SCORES:
        op.drop_column("verdicts", name)
