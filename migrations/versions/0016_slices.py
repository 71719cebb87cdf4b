"""Slices of budgets, the cost of jobs in `job_counts`, and the prior that the feeder fits for all verify workers.

So neither claims nor payments wait for a job's row.

Workers of the release before continue beside new ones: they still add to `jobs.spent`, which counts too. They do not
see the cost of the new ones, so a job can exceed its budget until the last of them ends.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("job_counts", sa.Column("spent", sa.Double(), server_default="0", nullable=False))
    op.create_table(
        "budget_slices",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("remainder", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_budget_slices_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "owner", name=op.f("pk_budget_slices")),
    )
    op.create_table(
        "job_priors",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        *(sa.Column(parameter, sa.Double(), nullable=False) for parameter in ("alpha", "beta")),
        sa.Column("traces", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_priors_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_priors")),
    )


def downgrade() -> None:
    op.drop_table("job_priors")
    op.drop_table("budget_slices")
    op.execute(
        "update jobs set spent = jobs.spent + c.spent "
        "from (select job_id, sum(spent) as spent from job_counts group by job_id) c where c.job_id = jobs.id"
    )
    op.drop_column("job_counts", "spent")
