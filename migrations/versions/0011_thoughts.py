"""The thoughts of a trace in a column of their own, and the text after them."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from tracemill import thinking

revision = "0011"
down_revision = "0010"

#: Traces that are split at a time. A long trace has about 100 KB.
BATCH = 500
#: Every thinking mark holds one of these characters, except Granite's, which begins a text with "Here".
CANDIDATES = sa.text(
    r"select id, text, reasoning, calls from traces "
    r"where id > :last and (text ~ '[<\[◁]' or text ~* '^\s*here' or calls <> '[]') order by id limit :batch"
)
SPLIT = sa.text(
    "update traces set thoughts = :thoughts, answer_text = :answer_text, reasoning = :reasoning, "
    "calls = cast(:calls as jsonb) where id = :id"
)


def upgrade() -> None:
    op.add_column("traces", sa.Column("thoughts", sa.String(), nullable=True))
    op.add_column("traces", sa.Column("answer_text", sa.String(), nullable=True))
    op.alter_column("traces", "reasoning", nullable=True)
    connection = op.get_bind()
    last = 0
    while rows := connection.execute(CANDIDATES, {"last": last, "batch": BATCH}).all():
        last = rows[-1].id
        if changed := [values for row in rows if (values := _values(row))]:
            connection.execute(SPLIT, changed)


def _values(row: Any) -> dict[str, Any] | None:
    """The new values of a trace; None if neither its text nor its calls hold thoughts."""
    thoughts, answer, _ = thinking.split(row.text)
    calls = [_call(call) for call in row.calls]
    if answer == row.text and calls == row.calls:
        return None
    return {
        "id": row.id,
        "thoughts": thoughts,
        "answer_text": None if answer == row.text else answer,
        "reasoning": None if thoughts is not None and row.reasoning == thoughts else row.reasoning,
        "calls": json.dumps(calls, ensure_ascii=False),
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    thoughts, answer, _ = thinking.split(call.get("text", ""))
    return call if thoughts is None else call | {"text": answer, "thoughts": thoughts}


def downgrade() -> None:
    # Workers go on storing traces. One stored after the update would have no reasoning.
    op.execute("lock table traces in access exclusive mode")
    op.execute(
        "update traces set reasoning = btrim(coalesce(thoughts, answer_text, text), E' \\t\\r\\n') "
        "where reasoning is null"
    )
    op.execute(
        "update traces set calls = ("
        "select jsonb_agg(case when call ? 'thoughts' then (call - 'thoughts') || jsonb_build_object('text', "
        f"'{thinking.BEGIN}' || (call ->> 'thoughts') || '{thinking.END}' || E'\\n' || (call ->> 'text')) "
        "else call end order by nth) from jsonb_array_elements(calls) with ordinality as each (call, nth)"
        ") where jsonb_path_exists(calls, '$[*].thoughts')"
    )
    op.alter_column("traces", "reasoning", nullable=False)
    op.drop_column("traces", "answer_text")
    op.drop_column("traces", "thoughts")
