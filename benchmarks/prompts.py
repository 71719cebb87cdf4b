"""Which prompt for mathematics gives a model most right answers? Every prompt gets the same questions, greedily.

The model is loaded with the engine options of a default alias, and the verdicts are those of `tracemill verify`.
`--model`, `--source`, `--questions` and `--examples FILE` choose what is measured.
"""

import argparse
import itertools
import os
import sys
from functools import partial
from pathlib import Path

from benchmarks.common import main
from producer.job_request import read_shots
from producer.sources import Question, open_source
from tracemill.engines.vllm_options import engine_options
from tracemill.methods import named
from tracemill.methods.chat import chat
from tracemill.methods.domains import BOXED, STATED
from tracemill.model_settings import EMBEDDED_MODEL, ModelSettings
from tracemill.prompts import Prompt, render, token_ids
from tracemill.settings import settings
from tracemill.statistics import share
from tracemill.verification import Item, verify_many

MAX_TOKENS = 512
#: The prompt of `cot` until 2026-11-29.
EQUATIONS = "Write every calculation as an equation."
EARLIER = f"Solve the problem step by step. {EQUATIONS} {STATED}"


def measure(quick: bool, model: str, source: str, count: int, examples: Path | None) -> dict[str, float]:
    """The share of right answers with its interval, and tokens an answer, by prompt."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from vllm import LLM, SamplingParams, TokensPrompt
    from vllm.platforms import current_platform

    shots = read_shots(examples)
    prompts: dict[str, Prompt] = {
        "cot": named("cot").variants("math", shots)[""][0].prompt,
        "cot_equations": chat(None, "{question}", shots, request=f"{EQUATIONS} {BOXED}"),
        "stated": chat(None, "{question}", shots, request=f"Please reason step by step. {STATED}"),
        "earlier": chat(EARLIER, "{question}", shots),
    }
    rows = (row for row in open_source(source, mapping={}) if isinstance(row, Question) and row.gold)
    questions = list(itertools.islice(rows, 16 if quick else count))
    options = engine_options(ModelSettings(model=model), settings().data_dir, on_cpu=current_platform.is_cpu())
    llm = LLM(**{name: value for name, value in options.items() if name != "enable_log_requests"})
    tokenizer = llm.get_tokenizer()
    figures: dict[str, float] = {"questions": len(questions)}
    for name, prompt in prompts.items():
        inputs = [token_ids(tokenizer, render(prompt, {"question": row.text})) for row in questions]
        answers = llm.generate(
            [TokensPrompt(prompt_token_ids=ids) for ids in inputs],
            SamplingParams(temperature=0.0, max_tokens=MAX_TOKENS),
            use_tqdm=False,
        )
        texts = [answer.outputs[0] for answer in answers]
        items = [Item(text.text, row.gold, row.text) for text, row in zip(texts, questions, strict=True)]
        right = share(sum(verdict.correct is True for verdict in verify_many(items)), len(items))
        figures |= {f"{name}_right": right.value, f"{name}_low": right.low, f"{name}_high": right.high}
        figures[f"{name}_tokens"] = sum(len(text.token_ids) for text in texts) / len(texts)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--source", default="words:?size=100&seed=21")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--examples", type=Path)
    options, sys.argv[1:] = parser.parse_known_args()
    main("prompts", partial(measure, **{"count" if k == "questions" else k: v for k, v in vars(options).items()}))
