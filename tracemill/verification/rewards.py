"""Reward functions for reinforcement learning: 1.0 for a right answer, else 0.0.

Each function has the signature that one library calls: `trl_reward` (trl's GRPOTrainer and RLOOTrainer), `verl_score`
and `verl_scores` (verl, for one response and for a batch), `openrlhf_reward` (OpenRLHF).

They never raise: what cannot be verified is worth 0.0, and the log has the reason. They never hang: children do the
work, each with the limits of all checks. They are safe in threads and after a fork. The children start with the first
call and end with the process.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from tracemill.concurrency import once
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Item
from tracemill.verification.pipeline import Verifier

log = logging.getLogger(__name__)

MAX_WORKERS = 16  # children: a training process has other work for its cores, and a child takes about 150 MB
#: The usual columns of the gold answer, the surest first.
GOLD_COLUMNS = ("gold", "ground_truth", "expected_answer", "final_answer", "answer", "solution", "target", "label")


@once
def _verifier() -> Verifier:
    return Verifier(min(MAX_WORKERS, len(os.sched_getaffinity(0))))


os.register_at_fork(after_in_child=_verifier.cache_clear)


def rewards(texts: Sequence[Any], golds: Sequence[Any], questions: Sequence[Any], kinds: Sequence[Any]) -> list[float]:
    """The reward of each text. An element may have any type; one that is not understood is worth 0.0."""
    items: dict[int, Item] = {}
    for index, (text, gold, question, kind) in enumerate(zip(texts, golds, questions, kinds, strict=False)):
        item = _item(text, gold, question, kind)
        if item is not None:
            items[index] = item
    correct: set[int] = set()
    try:
        verdicts = _verifier().verify(list(items.values()))
        correct = {index for index, verdict in zip(items, verdicts, strict=True) if verdict.correct}
    except Exception:
        log.exception("%d rewards are 0: their answers could not be verified", len(items))
    return [float(index in correct) for index in range(len(texts))]


def trl_reward(prompts: Sequence[Any] = (), completions: Sequence[Any] = (), **columns: Any) -> list[float]:
    """The reward function of trl: `GRPOTrainer(reward_funcs=trl_reward, …)`.

    The data set has the gold answers in a column of `GOLD_COLUMNS`, and perhaps columns `question` and `kind`.
    """
    n = len(completions)

    def column(*names: str) -> Sequence[Any]:
        return next((columns[name] for name in names if _is_column(columns.get(name), n)), [None] * n)

    columns["prompts"] = prompts
    return rewards(completions, column(*GOLD_COLUMNS), column("question", "prompts"), column("kind"))


def verl_score(
    data_source: Any = None, solution_str: Any = "", ground_truth: Any = None, extra_info: Any = None, **_: Any
) -> float:
    """The score function of verl: `custom_reward_function.name=verl_score`."""
    return verl_scores([data_source], [solution_str], [ground_truth], [extra_info])[0]


def verl_scores(
    data_sources: Any = (),
    solution_strs: Sequence[Any] = (),
    ground_truths: Any = (),
    extra_infos: Any = None,
    **_: Any,
) -> list[float]:
    """The score function of verl for a batch: `reward_model.reward_manager=batch`. It is several times faster."""
    n = len(solution_strs)
    infos = [info if isinstance(info, Mapping) else {} for info in (extra_infos if _is_column(extra_infos, n) else [])]
    infos += [{}] * (n - len(infos))
    questions, kinds = ([info.get(name) for info in infos] for name in ("question", "kind"))
    return rewards(solution_strs, list(ground_truths), questions, kinds)


def openrlhf_reward(queries: Sequence[Any], prompts: Sequence[Any], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
    """The reward function of OpenRLHF: a file with `reward_func = openrlhf_reward` is its `--remote_rm_url`."""
    import torch

    texts = [
        query.removeprefix(prompt) if isinstance(query, str) and isinstance(prompt, str) else query
        for query, prompt in zip(queries, prompts, strict=False)
    ]
    values = torch.tensor(rewards(texts, labels, prompts, [None] * len(texts)))
    return {"rewards": values, "scores": values, "extra_logs": {"correct": values}}


def _item(text: Any, gold: Any, question: Any, kind: Any) -> Item | None:
    """The trace to verify; None if it has no text or no gold answer."""
    try:
        written, answer = _text(text), _gold(gold)
        if written is None or answer is None:
            return None
        return Item(written, answer, _text(question), kind if kind in get_args(Kind) else None, answer_only=True)
    except Exception:
        log.exception("a reward is 0: its answer cannot be read")
        return None


def _text(value: Any) -> str | None:
    """A text, or the last message of a dialogue, whose content may be in parts."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and value:
        return _text(value[-1])
    if isinstance(value, Mapping):
        content = value.get("content", value.get("text"))
        if isinstance(content, Sequence) and not isinstance(content, str):
            return "".join(_text(part) or "" for part in content)
        return _text(content)
    return value if isinstance(value, str) else None


def _gold(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, list | tuple) and len(value) == 1:
        return _gold(value[0])
    return json.dumps(value)


def _is_column(value: Any, n: int) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == n
