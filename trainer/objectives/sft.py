"""Imitation: cross-entropy on the traces' tokens, the prompt's excluded. QLoRA (Dettmers 2023, arXiv:2305.14314).

The base model is frozen in NF4 with double quantisation and computes in bfloat16; LoRA (Hu 2021, arXiv:2106.09685) is
on every linear layer. CUDA and CPU differ in one thing: how positions without a label are kept out of the last matrix.
"""

import time
from typing import Any

from tracemill.errors import TracemillError
from trainer.objectives.base import Lesson, Outcome, Progress, objective
from trainer.rows import IGNORED, Row, end_of_turn, tokenise
from trainer.spec import FitSpec

#: Padded tokens in one forward pass: more of them take more memory (CPU: about 2 MB each with the 135M student).
TOKENS_A_PASS = {"cpu": 2048, "cuda": 16384}
#: The loss history keeps about this many points however long the fit is.
LOSS_POINTS = 200


@objective("sft")
def fit(lesson: Lesson) -> Outcome:
    """Fit an adapter and save it (PEFT format). Raises TracemillError when every example is too long."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTTrainer

    class CompletionTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
        """On CPU trl puts every position through the vocabulary matrix, here only those with a label are (on CUDA its
        own kernel does so)."""

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if device != "cpu":
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"][:, 1:]
            learnt = labels != IGNORED
            columns = learnt.any(dim=0).nonzero().flatten()
            # Padding is on the right, where a causal model never looks: without a mask attention takes its fast path.
            logits = model(input_ids=inputs["input_ids"], use_cache=False, logits_to_keep=columns).logits
            chosen = learnt[:, columns]
            loss = torch.nn.functional.cross_entropy(
                logits[chosen].float(), labels[:, columns][chosen], reduction="sum"
            )
            return loss / (num_items_in_batch or learnt.sum())

    tokenizer = AutoTokenizer.from_pretrained(lesson.model)
    rows = _rows(tokenizer, lesson)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = CompletionTrainer(
        model=base_model(lesson.model, lesson.fit.quantisation, device),
        args=_arguments(lesson, rows, device),
        train_dataset=Dataset.from_dict(
            {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
        ),
        processing_class=tokenizer,
        peft_config=_lora(lesson.fit),
        callbacks=[_reporter(lesson, len(rows))],
    )
    started = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - started
    trainer.model.save_pretrained(str(lesson.folder))
    tokens = sum(len(row.input_ids) for row in rows)
    return Outcome(len(rows), len(lesson.examples) - len(rows), tokens, seconds)


def base_model(model: str, quantisation: str, device: str) -> Any:
    """The frozen student, in NF4 or bfloat16, on `device`."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(
        model,
        dtype=torch.bfloat16,
        quantization_config=nf4 if quantisation == "nf4" else None,
        device_map={"": device},
        attn_implementation="sdpa",
    )


def _rows(tokenizer: Any, lesson: Lesson) -> list[Row]:
    end = end_of_turn(tokenizer)
    rows = [tokenise(tokenizer, lesson.prompt, example.question, example.text, end) for example in lesson.examples]
    short = [row for row in rows if len(row.input_ids) <= lesson.fit.max_tokens]
    if not short:
        raise TracemillError(
            f"all {len(rows)} examples are longer than fit.max_tokens = {lesson.fit.max_tokens}; the shortest has "
            f"{min(len(row.input_ids) for row in rows)} tokens. Raise max_tokens."
        )
    return short


def _lora(fit: FitSpec) -> Any:
    from peft import LoraConfig

    return LoraConfig(r=fit.lora_rank, lora_alpha=fit.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def _arguments(lesson: Lesson, rows: list[Row], device: str) -> Any:
    from trl import SFTConfig

    fit = lesson.fit
    longest = max(len(row.input_ids) for row in rows)
    passes = passes_a_step(fit.batch_size, longest, TOKENS_A_PASS[device])
    steps = fit.epochs * -(-len(rows) // fit.batch_size)
    return SFTConfig(
        output_dir=str(lesson.folder),
        num_train_epochs=fit.epochs,
        per_device_train_batch_size=fit.batch_size // passes,
        gradient_accumulation_steps=passes,
        learning_rate=fit.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=steps // 20,
        seed=fit.seed,
        bf16=True,
        use_cpu=device == "cpu",
        # On CPU memory is enough and computing the activations twice is a third more work.
        gradient_checkpointing=device == "cuda",
        train_sampling_strategy="group_by_length",
        dataloader_pin_memory=device == "cuda",
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        logging_steps=max(1, steps // LOSS_POINTS),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def passes_a_step(batch_size: int, longest: int, tokens: int) -> int:
    """Into how many equal forward passes a batch is split so that none holds more than `tokens` padded tokens."""
    splits = (n for n in range(1, batch_size + 1) if batch_size % n == 0)
    return next((n for n in splits if batch_size // n * longest <= tokens), batch_size)


def _reporter(lesson: Lesson, rows: int) -> Any:
    from transformers import TrainerCallback

    class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.monotonic()
            self.loss: list[tuple[int, float]] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if not logs or "loss" not in logs:
                return
            self.loss.append((state.global_step, round(logs["loss"], 4)))
            seconds = time.monotonic() - self.started
            done = state.global_step / state.max_steps
            lesson.report(
                Progress(
                    step=state.global_step,
                    steps=state.max_steps,
                    loss=tuple(self.loss),
                    examples_per_second=round(done * rows * lesson.fit.epochs / seconds, 2),
                    eta_seconds=round(seconds / done - seconds, 1),
                )
            )

    return Reporter()
