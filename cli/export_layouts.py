"""Layouts of `tracemill export --as`: rows that other trainers load without a conversion.

`messages`, `prompt-completion` and `preference` are trl's conversational formats (trl documentation, "Dataset formats
and types"), `sharegpt` and `alpaca` those of LLaMA-Factory and Axolotl, `verl` that of verl's RL data sets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, TypeAlias

from cli.export_files import Columns
from tracemill.thinking import joined

Row: TypeAlias = dict[str, Any]
#: Columns of trace_scores that every layout reads.
READ = ("question_id", "question", "text", "thoughts", "gold", "correct", "dataset", "domain")


class Layout(StrEnum):
    messages = "messages"
    prompt_completion = "prompt-completion"
    preference = "preference"
    sharegpt = "sharegpt"
    alpaca = "alpaca"
    verl = "verl"


@dataclass(frozen=True)
class LayoutRows:
    """The columns of a layout, and its rows for the traces of one question."""

    columns: Columns
    rows: Callable[[list[Row]], list[Row]]
    #: Kinds of traces that it reads besides those that a round may train on (`training_use`).
    also: tuple[str, ...] = ()

    def of_traces(self, traces: list[Row]) -> list[Row]:
        """The rows for traces that are ordered by their questions."""
        groups = groupby(traces, key=lambda trace: trace["question_id"])
        return [row for _, group in groups for row in self.rows(list(group))]


def _text(row: Row) -> str:
    return joined(row["thoughts"], row["text"])


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _user_turn(row: Row) -> list[dict[str, str]]:
    return [_message("user", row["question"])]


def _model_turn(row: Row) -> list[dict[str, str]]:
    return [_message("assistant", _text(row))]


def _for_each(make: Callable[[Row], Row]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [make(row) for row in rows]


def _conversation(row: Row) -> Row:
    return {
        "conversations": [
            {"from": "human", "value": row["question"]},
            {"from": "gpt", "value": _text(row)},
        ]
    }


def _pairs(rows: list[Row]) -> list[Row]:
    """Each accepted trace with a wrong one of its question, as many as there are of both."""
    chosen = [row for row in rows if row["training_use"] == "train"]
    rejected = [row for row in rows if row["training_use"] != "train" and row["correct"] is False]
    return [
        {"prompt": _user_turn(good), "chosen": _model_turn(good), "rejected": _model_turn(bad)}
        for good, bad in zip(chosen, rejected, strict=False)
    ]


def _verl(rows: list[Row]) -> list[Row]:
    """The question once, if it has a gold answer that a reward can compare."""
    first = rows[0]
    if first["gold"] is None:
        return []
    return [
        {
            "data_source": first["dataset"],
            "prompt": _user_turn(first),
            "ability": first["domain"],
            "reward_model": {"style": "rule", "ground_truth": first["gold"]},
            "extra_info": {"index": first["question_id"]},
        }
    ]


LAYOUTS: dict[Layout, LayoutRows] = {
    Layout.messages: LayoutRows(
        {"messages": "messages"}, _for_each(lambda row: {"messages": [*_user_turn(row), *_model_turn(row)]})
    ),
    Layout.prompt_completion: LayoutRows(
        {"prompt": "messages", "completion": "messages"},
        _for_each(lambda row: {"prompt": _user_turn(row), "completion": _model_turn(row)}),
    ),
    Layout.preference: LayoutRows(
        {"prompt": "messages", "chosen": "messages", "rejected": "messages"}, _pairs, also=("rejected", "negative")
    ),
    Layout.sharegpt: LayoutRows({"conversations": "turns"}, _for_each(_conversation)),
    Layout.alpaca: LayoutRows(
        {"instruction": "text", "input": "text", "output": "text"},
        _for_each(lambda row: {"instruction": row["question"], "input": "", "output": _text(row)}),
    ),
    Layout.verl: LayoutRows(
        {
            "data_source": "text",
            "prompt": "messages",
            "ability": "text",
            "reward_model": "reward_model",
            "extra_info": "extra_info",
        },
        _verl,
    ),
}
