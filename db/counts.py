"""Compare the counts of jobs with their rows, and correct them."""

from sqlalchemy import Connection

from db.queries import Q


def differences(connection: Connection, *, correct: bool = False) -> list[str]:
    """A sentence for each job whose counts differ from its rows. With `correct` they are equal afterwards."""
    rows = connection.execute(Q["correct_counts"], {"corrects": correct}).mappings()
    return [_in_words(**row) for row in rows]


def _in_words(job: str, **differences: float) -> str:
    wrong = ", ".join(f"{difference:+g} {name}" for name, difference in differences.items() if difference)
    return f"the counts of job {job} are wrong: {wrong}"
