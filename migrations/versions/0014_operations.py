"""A state for jobs that are being deleted."""

from alembic import op

revision = "0014"
down_revision = "0011"

STATES = "'filling', 'running', 'paused', 'over_budget', 'cancelled', 'done'"


def upgrade() -> None:
    _restrict_states(f"{STATES}, 'deleting'")


def downgrade() -> None:
    op.execute("update jobs set state = 'cancelled' where state = 'deleting'")
    _restrict_states(STATES)


def _restrict_states(states: str) -> None:
    op.drop_constraint("ck_jobs_state", "jobs")
    op.create_check_constraint(op.f("ck_jobs_state"), "jobs", f"state in ({states})")
