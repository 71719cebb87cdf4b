"""The student with its adapter merged: `python -m trainer.merge ROUND_ID`, after the fit, in a separate process.

The adapter was trained on the quantised base model. So it is merged into these weights, converted back to bfloat16.
"""

import os
import shutil
import sys
from pathlib import Path

from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.settings import model, settings
from tracemill.weights import resolve
from trainer.child_process import main
from trainer.fit import round_folder
from trainer.hub import merged_card
from trainer.rows import load_tokenizer
from trainer.spec import parse


def merge_round(round_id: int) -> Path:
    """Merge the adapter of a round; returns the folder of the model. Raises UsageError when there is no adapter yet."""
    with transaction() as connection:
        row = connection.execute(Q["round_for_work"], {"round_id": round_id}).mappings().one_or_none()
    if row is None or row["adapter_path"] is None:
        raise UsageError(f"round {round_id} has no adapter to merge")
    spec = parse(row["spec"], f"round {round_id}")
    data_dir = settings().data_dir.resolve()
    folder = merged_folder(data_dir, spec.name)
    base = resolve(model(spec.student).model, data_dir)
    unfinished = folder.with_name(f".merged.{os.getpid()}")
    merge(base, Path(row["adapter_path"]), spec.fit.quantisation, unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


def merged_folder(data_dir: Path, name: str) -> Path:
    """The folder of a round's merged model."""
    return round_folder(data_dir, name) / "merged"


def merge(base: str, adapter: Path, quantisation: str, folder: Path) -> None:
    """Write an ordinary model folder in bfloat16, with the tokenizer and the adapter's card."""
    import torch
    from peft import PeftModel

    from trainer.student import base_model

    student = base_model(base, quantisation)
    if quantisation != "none":
        student = student.dequantize(dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(student, str(adapter)).merge_and_unload()
    merged.save_pretrained(str(folder))
    load_tokenizer(base).save_pretrained(str(folder))
    card = adapter / "README.md"
    if card.exists():
        (folder / "README.md").write_text(merged_card(card.read_text()))


if __name__ == "__main__":
    sys.exit(main("trainer.merge", "Merge the adapter of one round into its student.", merge_round))
