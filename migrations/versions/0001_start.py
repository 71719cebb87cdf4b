"""The tables of the first release."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "prompts",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("messages", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_prompts")),
    )
    op.create_table(
        "questions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("domain", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=True),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("gold", sa.String(), nullable=True),
        sa.Column("meta", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_questions")),
        sa.UniqueConstraint("content_hash", name=op.f("uq_questions_content_hash")),
    )
    op.create_index(op.f("ix_questions_fingerprint"), "questions", ["fingerprint"], unique=False)
    op.create_table(
        "rounds",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="queued", nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("prompt_hash", sa.String(), nullable=False),
        sa.Column("adapter_path", sa.String(), nullable=True),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state in ('queued', 'selecting', 'fitting', 'evaluating', 'done', 'failed')", name=op.f("ck_rounds_state")
        ),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name=op.f("fk_rounds_prompt_hash")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rounds")),
        sa.UniqueConstraint("name", name=op.f("uq_rounds_name")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("state", sa.String(), server_default="filling", nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("round_id", sa.BigInteger(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("prompt_hash", sa.String(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("sampling", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("verifier", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose in ('teach', 'evaluate')", name=op.f("ck_jobs_purpose")),
        sa.CheckConstraint(
            "state in ('filling', 'running', 'paused', 'cancelled', 'done')", name=op.f("ck_jobs_state")
        ),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name=op.f("fk_jobs_prompt_hash")),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_jobs_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("name", name=op.f("uq_jobs_name")),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("round_id", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("questions", sa.BigInteger(), nullable=False),
        sa.Column("correct", sa.BigInteger(), nullable=False),
        sa.Column("correct_strict", sa.BigInteger(), nullable=False),
        sa.Column("accuracy", sa.REAL(), nullable=False),
        sa.Column("low", sa.REAL(), nullable=False),
        sa.Column("high", sa.REAL(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("stage in ('before', 'after')", name=op.f("ck_evaluations_stage")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_evaluations_job_id")),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_evaluations_round_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
        sa.UniqueConstraint("round_id", "job_id", name=op.f("uq_evaluations_round_id_job_id")),
    )
    op.create_table(
        "job_questions",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "state in ('pending', 'queued', 'running', 'generated', 'done', 'failed')",
            name=op.f("ck_job_questions_state"),
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_questions_job_id")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_job_questions_question_id")),
        sa.PrimaryKeyConstraint("job_id", "question_id", name=op.f("pk_job_questions")),
    )
    op.create_index(
        "ix_job_questions_leased",
        "job_questions",
        ["job_id", "state", "lease_until"],
        unique=False,
        postgresql_where=sa.text("state in ('queued', 'running', 'generated')"),
    )
    op.create_index(
        "ix_job_questions_pending",
        "job_questions",
        ["job_id", "question_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_job_questions_question_id", "job_questions", ["question_id"], unique=False)
    op.create_table(
        "traces",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("question_id", sa.BigInteger(), nullable=False),
        sa.Column("variant", sa.String(), server_default="", nullable=False),
        sa.Column("sample_index", sa.BigInteger(), nullable=False),
        sa.Column("prompt_hash", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("reasoning", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("answer_form", sa.String(), nullable=True),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=True),
        sa.Column("latency_seconds", sa.REAL(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_traces_job_id")),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name=op.f("fk_traces_prompt_hash")),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name=op.f("fk_traces_question_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traces")),
        sa.UniqueConstraint(
            "job_id",
            "question_id",
            "variant",
            "sample_index",
            name=op.f("uq_traces_job_id_question_id_variant_sample_index"),
        ),
    )
    op.create_index(op.f("ix_traces_question_id"), "traces", ["question_id"], unique=False)
    op.create_table(
        "examples",
        sa.Column("round_id", sa.BigInteger(), nullable=False),
        sa.Column("trace_id", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["rounds.id"], name=op.f("fk_examples_round_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name=op.f("fk_examples_trace_id")),
        sa.PrimaryKeyConstraint("round_id", "trace_id", "role", name=op.f("pk_examples")),
    )
    op.create_index("ix_examples_trace_id", "examples", ["trace_id"], unique=False)
    op.create_table(
        "trace_logprobs",
        sa.Column("trace_id", sa.BigInteger(), nullable=False),
        sa.Column("top_k", sa.BigInteger(), nullable=False),
        sa.Column("encoding", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["trace_id"], ["traces.id"], name=op.f("fk_trace_logprobs_trace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trace_id", name=op.f("pk_trace_logprobs")),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("trace_id", sa.BigInteger(), nullable=False),
        sa.Column("verifier", sa.String(), nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("proof", sa.String(), nullable=True),
        sa.Column("faithfulness", sa.REAL(), nullable=True),
        sa.Column("coherence", sa.REAL(), nullable=True),
        sa.Column("equations_checked", sa.BigInteger(), nullable=False),
        sa.Column("equations_false", sa.BigInteger(), nullable=False),
        sa.Column("signals", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("findings", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("seconds", sa.REAL(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["trace_id"], ["traces.id"], name=op.f("fk_verdicts_trace_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("trace_id", "verifier", name=op.f("uq_verdicts_trace_id_verifier")),
    )


def downgrade() -> None:
    op.drop_table("verdicts")
    op.drop_table("trace_logprobs")
    op.drop_index("ix_examples_trace_id", table_name="examples")
    op.drop_table("examples")
    op.drop_index(op.f("ix_traces_question_id"), table_name="traces")
    op.drop_table("traces")
    op.drop_index("ix_job_questions_question_id", table_name="job_questions")
    op.drop_index("ix_job_questions_pending", table_name="job_questions", postgresql_where=sa.text("state = 'pending'"))
    op.drop_index(
        "ix_job_questions_leased",
        table_name="job_questions",
        postgresql_where=sa.text("state in ('queued', 'running', 'generated')"),
    )
    op.drop_table("job_questions")
    op.drop_table("evaluations")
    op.drop_table("jobs")
    op.drop_table("rounds")
    op.drop_index(op.f("ix_questions_fingerprint"), table_name="questions")
    op.drop_table("questions")
    op.drop_table("prompts")
