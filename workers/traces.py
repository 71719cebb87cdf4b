"""The row of a trace, from the answers of a chain of calls."""

from typing import Any

from tracemill import thinking
from tracemill.methods import Method
from tracemill.methods.trace_text import text_columns
from tracemill.text import storable
from tracemill.verification.answers.kinds import Kind
from workers.visit import Answer, Link


def trace_row(answer: Answer, method: Method, kind: Kind) -> dict[str, Any]:
    """The row of `traces`, without the ids of its job and question."""
    return {
        "variant": answer.slot.variant,
        "sample_index": answer.slot.sample_index,
        "prompt_hash": answer.prompt.hash,
        **text_columns(answer.completion.text, method, kind),
        "calls": [_earlier(link) for link in answer.links[:-1]],
        "tokens_in": sum(link.tokens_in for link in answer.links),
        "tokens_out": sum(link.completion.tokens for link in answer.links),
        "thinking_tokens": answer.completion.thinking_tokens,
        "finish_reason": answer.completion.finish_reason,
        "latency_seconds": sum(link.seconds for link in answer.links),
        "engine_seconds": sum(link.engine_seconds for link in answer.links),
        "cost": answer.cost,
    }


def _earlier(link: Link) -> dict[str, Any]:
    thoughts, answer_text, _ = thinking.split(storable(link.completion.text))
    return {
        "call": link.call.name,
        "prompt_hash": link.call.prompt.hash,
        "text": answer_text,
        **({} if thoughts is None else {"thoughts": thoughts}),
        "tokens_in": link.tokens_in,
        "tokens_out": link.completion.tokens,
        "finish_reason": link.completion.finish_reason,
    }
