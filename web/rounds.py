"""Rounds in Postgres: before and after with intervals, the questions that flipped, and the examples of the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy import RowMapping

from db.queries import Q
from tracemill.text import storable
from trainer.compare import Compared, Side, compare
from trainer.report.charts import Mark, intervals, lines
from web.reader import Reader
from web.records import MAX_PREVIEW, ROWS

#: Characters of an answer or an example in a list.
MAX_TEXT = 4_000


@dataclass(frozen=True)
class RoundPage:
    """One round."""

    progress: RowMapping
    compared: Sequence[Compared]
    accuracy: Markup | None
    loss: Markup | None


class RoundStore:
    """The rounds in the database of the settings."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def rounds(self) -> Sequence[RowMapping]:
        """All rounds, newest first."""
        with self._reader.reading() as connection:
            return connection.execute(Q["page_rounds"]).mappings().all()

    def round(self, name: str) -> RoundPage | None:
        """One round with its results."""
        name = storable(name)
        with self._reader.reading() as connection:
            progress = connection.execute(Q["page_round"], {"round": name}).mappings().one_or_none()
            if progress is None:
                return None
            compared = compare(connection, Side(name, "before"), Side(name, "after"))
        groups = {each.benchmark: [Mark("before", each.first), Mark("after", each.second)] for each in compared}
        loss = [(step, value) for step, value in progress["loss"] or ()]
        return RoundPage(
            progress,
            compared,
            intervals(groups, "Right answers before and after, with 95 % intervals") if groups else None,
            lines({"after": loss}, "Loss by optimiser step", "optimiser step") if loss else None,
        )

    def flips(self, name: str, benchmark: str, question: int) -> Sequence[RowMapping]:
        """At most `ROWS` + 1 flips after a question of a benchmark."""
        return self._page("page_flips", name, benchmark=storable(benchmark), question_id=question)

    def examples(self, name: str, after: int) -> Sequence[RowMapping]:
        """At most `ROWS` + 1 examples after a position."""
        return self._page("page_examples", name, after=after)

    def _page(self, query: str, name: str, **key: Any) -> Sequence[RowMapping]:
        bounds = {"round": storable(name), "limit": ROWS + 1, "preview": MAX_PREVIEW, "max_shown": MAX_TEXT + 1}
        with self._reader.reading() as connection:
            return connection.execute(Q[query], bounds | key).mappings().all()
