"""The parts of a trace (thoughts, answer, reasoning) as positions in its text instead of copies; LZ4 for long values.

Both are instant on a table of any size: the new columns are null, and stored values keep their compression. Workers of
the release before continue beside new ones: they store copies, and the views read both.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
is_additive = True

PARTS = {"thoughts": "thoughts", "answer": "answer_text", "reasoning": "reasoning"}
#: The columns whose values may be long.
LONG = {
    "traces": ("text", "thoughts", "answer_text", "reasoning", "answer", "steps", "calls"),
    "verdicts": ("findings", "signals"),
    "questions": ("question", "gold", "meta"),
}


def upgrade() -> None:
    for name in PARTS:
        for end in ("start", "length"):
            op.add_column("traces", sa.Column(f"{name}_{end}", sa.Integer(), nullable=True))
    for table, columns in LONG.items():
        changes = ", ".join(f"alter {column} set compression lz4" for column in columns)
        # A server may be built without LZ4.
        op.execute(f"do $$ begin alter table {table} {changes}; exception when feature_not_supported then null; end $$")


def downgrade() -> None:
    # Workers go on storing traces. One stored after the update would lose its parts.
    op.execute("lock table traces in access exclusive mode")
    for name, copy in PARTS.items():
        op.execute(
            f"update traces set {copy} = substr(text, {name}_start, {name}_length) where {name}_start is not null"
        )
    for table, columns in LONG.items():
        op.execute(f"alter table {table} " + ", ".join(f"alter {column} set compression default" for column in columns))
    for name in PARTS:
        for end in ("start", "length"):
            op.drop_column("traces", f"{name}_{end}")
