"""trl's trainer for pairs of rows that are tokens already."""

from typing import Any

from trl import DPOTrainer

from trainer.callbacks import Resumable
from trainer.passes import InPasses


class PairTrainer(InPasses, Resumable, DPOTrainer):  # type: ignore[misc]  # trl is not typed
    """Uses `prompt_ids`, `chosen_ids` and `rejected_ids` unchanged: trl would tokenise text differently."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **options: Any) -> Any:
        """trl's loss is the mean over the pairs of a pass."""
        return inputs.pop("share") * super().compute_loss(model, inputs, *args, **options)
