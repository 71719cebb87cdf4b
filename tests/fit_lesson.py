"""A fit in a process of its own: `python -m tests.fit_lesson MODEL FOLDER SETTINGS`, also several by torchrun.

The first process writes the losses, and the step at which it resumed, to `fit.json`. Accelerate shards no model on the
CPU, though the rest of FSDP works there. So this makes it do so.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from tests.lessons import lesson, pairs, sums
from trainer import imitation, training
from trainer.objectives import Progress, find


def shard_on_cpu() -> None:
    """Make accelerate shard a model on the CPU as it does on GPUs."""
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    original = AcceleratorState.__init__

    def init(self: AcceleratorState, *words: object, fsdp_plugin: object = None, **options: object) -> None:
        original(self, *words, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin

    AcceleratorState.__init__ = init


def main() -> None:
    _, model, folder, text = sys.argv
    settings = json.loads(text)
    if settings.get("shard"):
        shard_on_cpu()
    if tokens := settings.pop("tokens_a_pass", None):
        training.TOKENS_A_PASS = imitation.TOKENS_A_PASS = tokens
    reported: list[Progress] = []
    objective = find(settings.get("objective", "sft"))
    count = settings.pop("examples")
    # Single traces differ in their lengths, so processes make different numbers of passes.
    examples = (
        pairs(count)
        if objective.pairs
        else [replace(example, text=example.text * (1 + example.position % 2)) for example in sums(count)]
    )
    given = lesson(model, Path(folder), examples, report=reported.append, **settings)
    outcome = objective.fit(given)
    if reported:
        result = {"losses": [loss for _, loss in reported[-1].loss], "resumed": outcome.resumed}
        (Path(folder) / "fit.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
