"""Counts of jobs, kept by triggers, and a state for jobs that are being deleted.

The counts of earlier rows are added after the migration (`db.counts`), because that is slow and needs no lock.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

STATES = "'filling', 'running', 'paused', 'over_budget', 'cancelled', 'done'"
COUNTS = ("questions", "done", "failed", "traces", "verified", "correct", "accepted", "tokens_in", "tokens_out")
SETTLED = "('done', 'failed')"

#: For each trigger: its event and table, its condition or the name of the new rows, and the body of its function. A
#: trigger for each row has a condition; most updates do not meet it, and cost nothing.
TRIGGERS = {
    "count_questions": (
        "insert on job_questions",
        "",
        "insert into job_counts (job_id, questions, done, failed) "
        "select job_id, count(*), count(*) filter (where state = 'done'), count(*) filter (where state = 'failed') "
        "from new_rows group by job_id",
    ),
    "count_settled": (
        "update of state on job_questions",
        f"old.state <> new.state and (old.state in {SETTLED} or new.state in {SETTLED})",
        "insert into job_counts (job_id, done, failed) values (new.job_id, "
        "(new.state = 'done')::int - (old.state = 'done')::int, "
        "(new.state = 'failed')::int - (old.state = 'failed')::int)",
    ),
    "count_traces": (
        "insert on traces",
        "",
        "insert into job_counts (job_id, traces, tokens_in, tokens_out, cost, engine_seconds, first_trace_at, "
        "last_trace_at) select job_id, count(*), sum(tokens_in), sum(tokens_out), sum(cost::float8), "
        "sum(engine_seconds::float8), min(created_at), max(created_at) from new_rows group by job_id",
    ),
    "count_corrections": (
        "update of tokens_in, tokens_out, cost, engine_seconds on traces",
        "(old.tokens_in, old.tokens_out, old.cost, old.engine_seconds) "
        "is distinct from (new.tokens_in, new.tokens_out, new.cost, new.engine_seconds)",
        "insert into job_counts (job_id, tokens_in, tokens_out, cost, engine_seconds) values (new.job_id, "
        "new.tokens_in - old.tokens_in, new.tokens_out - old.tokens_out, new.cost::float8 - old.cost::float8, "
        "new.engine_seconds::float8 - old.engine_seconds::float8)",
    ),
    "count_verdicts": (
        "insert on verdicts",
        "",
        "insert into job_counts (job_id, verified, correct, accepted) select t.job_id, count(*), "
        "count(*) filter (where v.correct), count(*) filter (where v.accepted) from new_rows v "
        "join traces t on t.id = v.trace_id join jobs j on j.id = t.job_id and j.verifier = v.verifier "
        "group by t.job_id",
    ),
    "count_revotes": (
        "update of correct, accepted on verdicts",
        "(old.correct, old.accepted) is distinct from (new.correct, new.accepted)",
        "insert into job_counts (job_id, correct, accepted) select t.job_id, "
        "coalesce(new.correct, false)::int - coalesce(old.correct, false)::int, new.accepted::int - old.accepted::int "
        "from traces t join jobs j on j.id = t.job_id and j.verifier = new.verifier where t.id = new.trace_id",
    ),
}


def upgrade() -> None:
    _restrict_states(f"{STATES}, 'deleting'")
    op.create_table(
        "job_counts",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        *(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double(), server_default="0", nullable=False) for name in ("cost", "engine_seconds")),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("first_trace_at", "last_trace_at")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_counts_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "id", name=op.f("pk_job_counts")),
    )
    for name, (event, condition, body) in TRIGGERS.items():
        op.execute(f"create function {name}() returns trigger language plpgsql as $$ begin {body}; return null; end $$")
        each = (
            f"for each row when ({condition})" if condition else "referencing new table as new_rows for each statement"
        )
        op.execute(f"create trigger {name} after {event} {each} execute function {name}()")


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"drop function {name} cascade")
    op.drop_index("ix_job_questions_error", table_name="job_questions", if_exists=True)
    op.drop_table("job_counts")
    op.execute("update jobs set state = 'cancelled' where state = 'deleting'")
    _restrict_states(STATES)


def _restrict_states(states: str) -> None:
    op.drop_constraint("ck_jobs_state", "jobs")
    op.create_check_constraint(op.f("ck_jobs_state"), "jobs", f"state in ({states})")
