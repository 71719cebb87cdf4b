"""Peak memory of one forward and backward pass over a large vocabulary, by objective.

The student is thin: one layer of width 64 under a vocabulary of 151,936. So nearly all memory of a pass is its loss's.
One example of N tokens makes one pass. Each objective runs in a process of its own, which first fits a few tokens: its
peak until then is not counted.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import environment, main, peak_rss_mb
from tracemill.interpreter import python
from tracemill.logprobs import TopK, encode
from tracemill.prompts import Prompt

VOCABULARY, WIDTH, TOP_K = 151_936, 64, 20
ASK = Prompt(({"role": "user", "content": "{question}"},))
OBJECTIVES = ("sft", "stepwise", "logits")
#: The words of the example, each a token, and the end of a turn.
WORDS, END = ("one", "two", "three", "four", "five", "six", "seven", "eight"), "<end>"


def measure(quick: bool) -> dict[str, float]:
    """`…_mb`: the peak of a pass; `…_ratio`: the peak in units of N × vocabulary × 4 bytes."""
    tokens = int(os.environ.get("BENCHMARK_TOKENS", 500 if quick else 8000))
    figures: dict[str, float] = {"tokens": tokens}
    with tempfile.TemporaryDirectory() as folder:
        for objective in OBJECTIVES:
            command = python("benchmarks.memory", "--pass", objective, str(tokens), f"{folder}/{objective}")
            variables = {**os.environ, **environment()}
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables, check=True)
            peak = json.loads(done.stdout.splitlines()[-1])
            figures[f"{objective}_mb"] = peak
            figures[f"{objective}_ratio"] = peak * 2**20 / (tokens * VOCABULARY * 4)
    return figures


def _pass(objective: str, tokens: int, folder: Path) -> float:
    """The growth of this process's peak memory in MiB."""
    student = _student(folder / "student")
    _fit(objective, student, 32, folder / "few")
    before = peak_rss_mb(os.getpid())
    _fit(objective, student, tokens, folder / "many")
    return peak_rss_mb(os.getpid()) - before


def _student(folder: Path) -> str:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=END)
    tokenizer.chat_template = "{% for each in messages %}{{ each['content'] }} " + END + " {% endfor %}"
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=2**15,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _fit(objective: str, student: str, tokens: int, folder: Path) -> None:
    from transformers import AutoTokenizer

    from trainer.fit_spec import FitSpec
    from trainer.objectives import Example, Lesson, find

    lines = [" ".join(WORDS)] * (tokens // len(WORDS))
    ids = AutoTokenizer.from_pretrained(student)("\n".join(lines), add_special_tokens=False)["input_ids"]
    rng = random.Random(1)
    likely = ({token: -0.5, **{rng.randrange(VOCABULARY): -3.0 for _ in range(TOP_K)}} for token in ids)
    stored = encode(TopK.of(zip(ids, likely, strict=True)))
    fit = FitSpec(objective=objective, epochs=1, batch_size=1, max_tokens=2 * tokens + 256, quantisation="none")
    (folder / "adapter").mkdir(parents=True)
    example = Example("sft", "Count.", "\n".join(lines), logprobs=stored)
    find(objective).fit(
        Lesson(
            model=student,
            prompt=ASK,
            examples=[example],
            fit=fit,
            options=fit.options,
            epochs=(1,),
            round=folder,
            folder=folder / "adapter",
            report=lambda progress: None,
            teachers=(student,) if objective == "logits" else (),
        )
    )


if __name__ == "__main__":
    if "--pass" in sys.argv:
        _, _, objective, tokens, folder = sys.argv
        print(json.dumps(_pass(objective, int(tokens), Path(folder))))
    else:
        main("memory", measure)
