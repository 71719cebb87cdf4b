"""trl's trainer for pairs of rows that are tokens already."""

from typing import Any

from trl import DPOTrainer

from trainer.callbacks import Resumable


class PairTrainer(Resumable, DPOTrainer):  # type: ignore[misc]  # trl is not typed
    """Uses `prompt_ids`, `chosen_ids` and `rejected_ids` unchanged: trl would tokenise text differently."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset
