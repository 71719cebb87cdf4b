"""Methods with several calls and variants, adaptive sampling, budgets, and costs of traces."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

#: The domains of questions. An older job has the same single prompt for all of them.
DOMAINS = "(values ('math'), ('code'), ('legal'), ('medical'), ('general')) as d (domain)"
STATES = "'filling', 'running', 'paused', 'cancelled', 'done'"

DOUBLE = postgresql.DOUBLE_PRECISION
ADDED = {
    "jobs": (
        ("ask_as", sa.String(), None),
        ("from_job_id", sa.BigInteger(), None),
        ("negative", sa.Boolean(), "false"),
        ("most", sa.BigInteger(), "0"),
        ("batch", sa.BigInteger(), "0"),
        ("enough", sa.BigInteger(), None),
        ("give_up", sa.REAL(), "0"),
        ("budget", DOUBLE(), None),
        ("budget_unit", sa.String(), None),
        ("spent", DOUBLE(), "0"),
    ),
    "job_questions": (
        ("wanted", sa.BigInteger(), "0"),
        ("settled", sa.BigInteger(), "0"),
        ("accepted", sa.BigInteger(), "0"),
        ("ended", sa.String(), None),
        ("reserved", DOUBLE(), "0"),
    ),
    "traces": (
        ("calls", postgresql.JSONB(astext_type=sa.Text()), "'[]'"),
        ("thinking_tokens", sa.BigInteger(), "0"),
        ("engine_seconds", sa.REAL(), "0"),
        ("cost", sa.REAL(), "0"),
    ),
    "trace_logprobs": (("tokens", sa.BigInteger(), "0"),),
    "verdicts": (("refused", sa.String(), None),),
}
#: The code that inserts a row sets these columns.
NO_DEFAULT = (("jobs", "most"), ("jobs", "batch"), ("job_questions", "wanted"), ("trace_logprobs", "tokens"))


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind, default in columns:
            given = None if default is None else sa.text(default)
            op.add_column(table, sa.Column(name, kind, server_default=given, nullable=default is None))
    op.create_foreign_key(op.f("fk_jobs_from_job_id"), "jobs", "jobs", ["from_job_id"], ["id"])
    op.create_check_constraint(op.f("ck_jobs_budget_unit"), "jobs", "budget_unit in ('tokens', 'money')")
    _states(f"{STATES}, 'over_budget'")
    op.create_table(
        "job_prompts",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("variant_place", sa.BigInteger(), nullable=False),
        sa.Column("call_place", sa.BigInteger(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("prompt_hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_prompts_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name=op.f("fk_job_prompts_prompt_hash")),
        sa.PrimaryKeyConstraint("job_id", "domain", "variant_place", "call_place", name=op.f("pk_job_prompts")),
    )
    op.execute(
        "insert into job_prompts (job_id, domain, variant_place, call_place, variant, call, prompt_hash) "
        f"select j.id, d.domain, 0, 0, '', 'answer', j.prompt_hash from jobs j, {DOMAINS}"
    )
    op.execute("update jobs set most = samples, batch = samples")
    op.execute("update job_questions q set wanted = j.samples from jobs j where j.id = q.job_id")
    op.execute(
        "update job_questions q set settled = s.traces, accepted = s.accepted from ("
        "  select t.job_id, t.question_id, count(*) as traces, count(*) filter (where v.accepted) as accepted"
        "  from traces t join jobs j on j.id = t.job_id"
        "  join verdicts v on v.trace_id = t.id and v.verifier = j.verifier"
        "  group by 1, 2) s "
        "where s.job_id = q.job_id and s.question_id = q.question_id and q.state = 'done'"
    )
    for table, name in NO_DEFAULT:
        op.alter_column(table, name, server_default=None)
    op.drop_column("jobs", "prompt_hash")


def downgrade() -> None:
    op.add_column("jobs", sa.Column("prompt_hash", sa.String(), nullable=True))
    # The older code knows only the first prompt of a job.
    op.execute(
        "update jobs j set prompt_hash = (select p.prompt_hash from job_prompts p where p.job_id = j.id "
        "order by p.domain <> 'general', p.domain, p.variant_place, p.call_place limit 1)"
    )
    op.alter_column("jobs", "prompt_hash", nullable=False)
    op.create_foreign_key(op.f("fk_jobs_prompt_hash"), "jobs", "prompts", ["prompt_hash"], ["hash"])
    op.drop_table("job_prompts")
    op.execute("update jobs set state = 'paused' where state = 'over_budget'")
    _states(STATES)
    op.drop_constraint(op.f("ck_jobs_budget_unit"), "jobs")
    for table, columns in reversed(ADDED.items()):
        for name, _, _ in reversed(columns):
            op.drop_column(table, name)


def _states(listed: str) -> None:
    op.drop_constraint(op.f("ck_jobs_state"), "jobs")
    op.create_check_constraint(op.f("ck_jobs_state"), "jobs", f"state in ({listed})")
