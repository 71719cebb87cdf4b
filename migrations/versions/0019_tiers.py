"""Jobs that answer what another job failed: the tiers of `tracemill enqueue --escalate`.

Workers of the release before continue beside new ones: the feeder moves the questions that they leave when a job ends.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
is_additive = True


def upgrade() -> None:
    op.add_column("jobs", sa.Column("escalates", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("jobs", "escalates")
