"""The rows of traces that are longer than `fit.max_tokens`, which the fit leaves out.

A round that takes as many tokens as another one must leave them out before it counts. Otherwise the arm with the longer
traces would learn less than the other. Only traces that may be too long are rendered.
"""

from collections.abc import Sequence
from functools import cached_property
from math import inf
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from tracemill.prompts import Prompt
from tracemill.settings import model, settings
from tracemill.weights import resolve
from trainer.evaluate import jobs_by_names, template_options
from trainer.rows import Reader, Trace, learnt_text, load_tokenizer
from trainer.spec import RoundSpec, with_row_limit

#: Reserve for the marks of the chat template and its own system message, in tokens.
TEMPLATE_TOKENS = 512


class Lengths:
    """Measures rows of a round, whose evaluations use the prompt `prompt_hash`, against its `fit.max_tokens`."""

    def __init__(self, connection: Connection, spec: RoundSpec, prompt_hash: str) -> None:
        self._connection, self._spec = connection, spec
        messages = connection.execute(Q["prompt"], {"hash": prompt_hash}).scalar_one()
        self._prompt = Prompt(tuple(messages))
        self._max_tokens = with_row_limit(spec).fit.max_tokens

    @cached_property
    def reader(self) -> Reader:
        """The reader of the round's rows, with its student's tokenizer."""
        options = template_options(jobs_by_names(self._connection, self._spec.evaluate.jobs).values())
        tokenizer = load_tokenizer(resolve(model(self._spec.student).model, settings().data_dir))
        return Reader(tokenizer, self._prompt, options)

    @property
    def safe_bytes(self) -> int | None:
        """Question and text of at most this many bytes make no row that is too long; None if no row is too long.

        A token has at least one byte.
        """
        if self._max_tokens is None:
            return None
        prompt_bytes = sum(len(message["content"].encode()) for message in self._prompt.messages)
        return self._max_tokens - prompt_bytes - TEMPLATE_TOKENS

    def too_long(self, rows: Sequence[Any]) -> list[bool]:
        """Whether each row is too long: rows with question, text, is_cut_off and method."""
        traces = [Trace(row.question, learnt_text(row.text, [row.method]), row.is_cut_off) for row in rows]
        return [row.tokens > (self._max_tokens or inf) for row in self.reader.rows(traces)] if traces else []
