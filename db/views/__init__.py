"""The current views for people, one file each, and their functions.

An upgrade drops them, migrates the tables, and creates them again. So migrations never mention a view.
"""

import hashlib
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import InternalError, OperationalError

from tracemill import roles
from tracemill.errors import StackError
from tracemill.roles import READER
from tracemill.scores import SCORES

#: In the order of their creation: a view comes after the views that it reads.
VIEWS = (
    "trace_scores",
    "trace_details",
    "question_results",
    "evaluation_questions",
    "job_progress",
    "job_tiers",
    "job_models",
    "acceptance",
    "round_progress",
    "round_lineage",
    "round_exclusions",
    "round_answers",
    "round_flips",
    "round_results",
)
#: Functions that views and queries use.
FUNCTIONS = ("difficulty", "answer_label")

_SCORE_COLUMNS = ",\n       ".join(f"v.{score.name}" for score in SCORES)
_SCORE_COMMENTS = "\n".join(
    f"comment on column trace_scores.{score.name} is '{score.about.replace(chr(39), chr(39) * 2)}';" for score in SCORES
)
_DEPENDENT_OBJECTS = "2BP01"  # SQLSTATE


def definition(name: str) -> str:
    """The statements that create a view or a function, and its comments."""
    content = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    return content.replace("{score_columns}", _SCORE_COLUMNS).replace("{score_comments}", _SCORE_COMMENTS)


def are_current(connection: Connection) -> bool:
    """Whether the database's views were created from the current files."""
    exists = connection.execute(text("select to_regproc('views_digest') is not null")).scalar()
    return bool(exists) and connection.execute(text("select views_digest()")).scalar() == _digest()


def drop(connection: Connection) -> None:
    """Drop every view of ours. Raises StackError if a user's view reads one of them."""
    try:
        connection.execute(text(f"drop view if exists {', '.join(VIEWS)}"))
        connection.execute(text(f"drop function if exists {', '.join(FUNCTIONS)}, views_digest"))
    except (InternalError, OperationalError) as error:
        if getattr(error.orig, "sqlstate", None) != _DEPENDENT_OBJECTS:
            raise
        details = getattr(getattr(error.orig, "diag", None), "message_detail", None) or str(error.orig)
        raise StackError(
            f"the views cannot be replaced, because a view of yours reads one of them: {details.splitlines()[0]}. "
            "Drop yours, run `tracemill db upgrade`, and create it again. Nothing was changed."
        ) from None


def create(connection: Connection) -> None:
    """Create every view and let the reader role read them. No view may exist."""
    for name in (*FUNCTIONS, *VIEWS):
        connection.execute(text(definition(name)))
    connection.execute(text(roles.create(READER)))
    connection.execute(text(f"grant select on {', '.join(VIEWS)} to {READER}"))
    connection.execute(
        text(f"create function views_digest() returns text immutable parallel safe return '{_digest()}'")
    )


def _digest() -> str:
    """A hash of all definitions, which changes with any of them."""
    parts = "".join(definition(name) for name in (*FUNCTIONS, *VIEWS))
    return hashlib.sha256(parts.encode()).hexdigest()
