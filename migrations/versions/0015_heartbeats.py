"""An index of the claims of each process, whose heartbeat replaces their leases.

Workers of the release before continue beside new ones: they renew leases of their own claims, and these still count.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
is_additive = True


def upgrade() -> None:
    op.add_column("processes", sa.Column("is_hidden", sa.Boolean(), server_default="false", nullable=False))


def downgrade() -> None:
    op.drop_index("ix_job_questions_owner", table_name="job_questions", if_exists=True)
    op.drop_column("processes", "is_hidden")
    # Without a lease an older feeder would never take these claims back.
    op.execute(
        "update job_questions set lease_until = clock_timestamp() + interval '30 seconds' "
        "where state in ('running', 'generated') and claim_id is not null and lease_until is null"
    )
