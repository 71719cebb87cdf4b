"""Named queries from the files in `sql/`, split at their `-- name:` lines: `Q["claim"]` is a statement.

The table of scores fills the slots `{score…}` in them, and files in `sql/fragments/` fill slots with their names.
"""

import re
from pathlib import Path

from sqlalchemy import TextClause, text

from tracemill.scores import NUMERIC, SCORES

#: The cases of the scores that are columns of `v`: a verdict, or a row of `trace_scores`.
_CASES = " ".join(f"when '{name}' then v.{name}" for name in NUMERIC)
#: The value of the score `k.score`: of the verdict `v`, the trace `t` or the question in its job `jq`.
_SCORE = f"""case k.score
    when 'faithfulness' then v.faithfulness
    when 'coherence' then v.coherence
    when 'majority' then v.majority
    when 'margin' then v.margin
    {_CASES}
    when 'tokens_out' then t.tokens_out
    when 'thinking_tokens' then t.thinking_tokens
    when 'cost' then t.cost
    when 'pass_rate' then (jq.accepted::float8 / nullif(jq.settled, 0))::real -- as the limits are
    else (v.signals ->> k.score)::real end"""
_FOLDER = Path(__file__).with_name("sql")
_SLOTS = {
    **{f"{{{path.stem}}}": path.read_text(encoding="utf-8") for path in _FOLDER.glob("fragments/*.sql")},
    "{score_names}": ", ".join(score.name for score in SCORES),
    "{score_types}": ", ".join(f"{score.name} {score.sql_type}" for score in SCORES),
    "{score_cases}": _CASES,
    "{score}": _SCORE,
}


def _load(folder: Path) -> dict[str, TextClause]:
    queries: dict[str, TextClause] = {}
    for path in sorted(folder.glob("*.sql")):
        content = path.read_text(encoding="utf-8")
        for slot, columns in _SLOTS.items():
            content = content.replace(slot, columns)
        parts = re.split(r"^-- name: (\w+)\n", content, flags=re.MULTILINE)
        queries |= {name: text(body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    return queries


Q = _load(_FOLDER)
