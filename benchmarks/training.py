"""The cost of a round's fit relative to a plain trl script: time of a step and memory, in one run, in turn.

Both train the embedded student in NF4 (double quantisation) with LoRA of the same rank on all linear layers. Rows,
batch size, number of steps and optimiser are the same. Each pass is a process of its own. The script follows trl's
documentation: SFTTrainer on prompt and completion. It is measured twice: with its defaults, and with rows of similar
length in one batch, as in a round. The time excludes loading and includes the first step.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.common import environment, main
from tracemill.interpreter import python
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.prompts import Prompt
from tracemill.sections import Section
from tracemill.weights import resolve
from trainer.child_process import VARIABLES

ASK = Prompt(({"role": "user", "content": "{question}"},))
BATCH, RANK, ALPHA, RATE = 16, 16, 32, 1e-3


def measure(quick: bool) -> dict[str, float]:
    """Medians over several passes."""
    steps, passes = (5, 1) if quick else (12, 4)
    arms = ("round", "script", "grouped")
    with tempfile.TemporaryDirectory() as folder:
        model = resolve(EMBEDDED_MODEL, Path(folder))
        results: dict[str, list[dict[str, float]]] = {arm: [] for arm in arms}
        for number in range(passes):
            for arm in arms[number % 3 :] + arms[: number % 3]:  # the first arm alternates
                results[arm].append(_pass(arm, model, steps, Path(folder) / f"{arm}-{number}"))
                print(f"{arm:10} " + "  ".join(f"{key} {value:.2f}" for key, value in results[arm][-1].items()))
    of = {arm: {key: median(each[key] for each in all_) for key in all_[0]} for arm, all_ in results.items()}
    # Pass by pass, so that both sides of a ratio ran under the same load.
    ratios = {
        arm: median(a["step_s"] / b["step_s"] for a, b in zip(results["round"], results[arm], strict=True))
        for arm in arms
    }
    return {
        "step_ratio": ratios["script"],
        "step_ratio_grouped": ratios["grouped"],
        "memory_ratio": of["round"]["peak_rss_mb"] / of["script"]["peak_rss_mb"],
        "round_step_s": of["round"]["step_s"],
        "script_step_s": of["script"]["step_s"],
        "round_peak_rss_mb": of["round"]["peak_rss_mb"],
        "script_peak_rss_mb": of["script"]["peak_rss_mb"],
        "round_last_loss": of["round"]["loss"],
        "script_last_loss": of["script"]["loss"],
    }


def _pass(arm: str, model: str, steps: int, folder: Path) -> dict[str, float]:
    """One fit in a process of its own. Its memory is sampled ten times a second."""
    command = python("benchmarks.training", "--pass", arm, model, str(steps), str(folder))
    variables = VARIABLES | os.environ | environment()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables) as fit:
        peak, watched = 0, psutil.Process(fit.pid)
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(fit.stdout or ()))
        reader.start()
        while fit.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
        reader.join()
    if fit.returncode:
        raise SystemExit(f"the pass of arm '{arm}' failed with exit code {fit.returncode}")
    return {**json.loads(lines[-1]), "peak_rss_mb": peak / 2**20}


def _rows(count: int) -> list[tuple[str, str]]:
    """Questions and traces of one to six steps. Their lengths differ like those of real traces."""
    rows = []
    for number in range(count):
        lines, total = [], number
        for step in range(number % 6 + 1):
            lines.append(f"Adding {step + 2} to {total} gives {total} + {step + 2} = {total + step + 2}.")
            total += step + 2
        additions = ", then ".join(f"add {step + 2}" for step in range(number % 6 + 1))
        rows.append(
            (f"Start with {number} and {additions}. What is it?", "\n".join([*lines, f"The answer is {total}."]))
        )
    return rows


def _round(model: str, steps: int, folder: Path) -> dict[str, float]:
    from trainer.fit_settings import FitSettings
    from trainer.objectives import Example, Lesson, Progress, find

    reports: list[Progress] = []
    examples = [
        Example("sft", question, text, position=position)
        for position, (question, text) in enumerate(_rows(steps * BATCH))
    ]
    fit = FitSettings(epochs=1, batch_size=BATCH, learning_rate=RATE, lora_rank=RANK, lora_alpha=ALPHA, max_tokens=512)
    (folder / "adapter").mkdir(parents=True)
    outcome = find("sft").fit(
        Lesson(model, ASK, examples, fit, Section(), (1,), folder, folder / "adapter", reports.append)
    )
    return {"step_s": outcome.seconds / steps, "loss": reports[-1].loss[-1][1]}


def _script(model: str, steps: int, folder: Path, grouped: bool) -> dict[str, float]:
    """A plain trl script."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    cuda = torch.cuda.is_available()
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    rows = [
        {"prompt": [{"role": "user", "content": question}], "completion": [{"role": "assistant", "content": text}]}
        for question, text in _rows(steps * BATCH)
    ]
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.bfloat16, quantization_config=nf4, device_map={"": "cuda:0" if cuda else "cpu"}
        ),
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            lr_scheduler_type="linear",
            warmup_steps=steps // 20,
            bf16=True,
            use_cpu=not cuda,
            gradient_checkpointing=cuda,
            dataloader_pin_memory=cuda,
            train_sampling_strategy="group_by_length" if grouped else "random",
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    trainer.save_model(str(folder))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {"step_s": seconds / steps, "loss": losses[-1]}


if __name__ == "__main__":
    if "--pass" in sys.argv:
        _, _, arm, model, steps, folder = sys.argv
        if arm == "round":
            print(json.dumps(_round(model, int(steps), Path(folder))))
        else:
            print(json.dumps(_script(model, int(steps), Path(folder), arm == "grouped")))
    else:
        main("training", measure)
