"""A model's own sampling settings: its `generation_config.json`, and what follows from it for a job.

It reads a model folder, or the copy of a hub model on this machine. It asks the hub only for a file of a few hundred
bytes, and does without one that cannot be had.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from tracemill.model_settings import ModelSettings
from tracemill.model_sources import hub_request
from tracemill.sampling import Sampling, SamplingSettings, merged
from tracemill.weights import is_on_hub, model_file

FILE = "generation_config.json"
#: The keys of the file that are sampling settings, with our names.
KEYS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
}
#: Seconds to wait for the hub.
HUB_SECONDS = 3


def own_sampling(model: ModelSettings, data_dir: Path, *, ask_hub: bool = False) -> SamplingSettings:
    """The sampling settings of the model itself; empty for a server, and for a model without a file of them.

    `ask_hub`: fetch the file of a hub model that is not on this machine yet.
    """
    if model.engine != "vllm":
        return SamplingSettings()
    path = model_file(model.model, FILE, data_dir)
    try:
        if path is not None:
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = json.loads(_from_hub(model.model)) if ask_hub and is_on_hub(model.model, data_dir) else {}
    except (OSError, ValueError):
        return SamplingSettings()
    return _read(content) if isinstance(content, dict) else SamplingSettings()


def _read(content: Mapping[str, Any]) -> SamplingSettings:
    values = {ours: content[theirs] for theirs, ours in KEYS.items() if content.get(theirs) is not None}
    if content.get("do_sample") is False:
        values = {name: value for name, value in values.items() if name == "repetition_penalty"} | {"temperature": 0}
    if not values.get("top_k", 1):  # 0 means no limit
        del values["top_k"]
    try:
        return SamplingSettings.model_validate(values)
    except ValidationError:
        return SamplingSettings()


def _from_hub(name: str) -> str:
    """The file of a hub model. Raises OSError if it cannot be had.

    The hub library would try an unreachable hub for half a minute, so this asks once.
    """
    try:
        from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

        url, headers = hub_request(name, FILE)
        reply = get_session().get(url, headers=headers, timeout=HUB_SECONDS, follow_redirects=True)
        reply.raise_for_status()
        return str(reply.text)
    except Exception as error:  # the hub is away, the name is wrong, or the library is not installed
        raise OSError(str(error)) from error


def job_sampling(
    written: SamplingSettings,
    model: ModelSettings,
    own: SamplingSettings,
    purpose: Literal["teach", "evaluate", "round"] = "teach",
    samples: int = 1,
) -> Sampling:
    """The settings of a job, from those of its request, of its model alias and of the model itself."""
    if model.engine != "vllm":
        return merged(written, model.sampling, temperature=None, top_p=None)
    temperature = 0.0 if purpose == "evaluate" and samples == 1 else 0.7
    return merged(written, model.sampling, own, temperature=temperature, top_p=1.0)
