"""trl's trainer for pairs, on tokens that are there already."""

from typing import Any

from trl import DPOTrainer

from trainer.callbacks import Resumable


class PairTrainer(Resumable, DPOTrainer):  # type: ignore[misc]  # trl is not typed
    """Reads `prompt_ids`, `chosen_ids` and `rejected_ids` as they are: trl would tokenise text in its own way."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset
