"""`[fit]` with a section of options for its objective, and specs that older releases wrote without sections."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tracemill.errors import UsageError
from trainer.objectives.features import FeaturesOptions
from trainer.objectives.logits import LogitsOptions
from trainer.objectives.preference import PreferenceOptions
from trainer.objectives.stepwise import StepwiseOptions
from trainer.spec import RoundSpec, load, parse

LEAST = 'name = "round-1"\n[select]\njobs = ["teach"]\n[evaluate]\njobs = ["student-before"]\n[fit]\n'
#: `rounds.spec` as the release before the sections stored it: every option of every objective, whatever the objective.
STORED = """
{"name": "round-1", "student": "student", "teach": [], "select": {"jobs": ["teach"], "accepted": true, "correct": null,
"concludes": null, "methods": [], "models": [], "domains": [], "datasets": [], "since": null, "until": null,
"at_least": {}, "at_most": {}, "near_duplicates": null, "max_per_question": 4, "balance": 1.0, "like": null,
"tokens": 0, "limit": 0, "overlap": 0.5, "ngram": 6, "seed": 0}, "curriculum": null, "fit": {"objective": "logits",
"epochs": 2, "learning_rate": 0.001, "batch_size": 16, "lora_rank": 16, "lora_alpha": 32, "max_tokens": 256,
"quantisation": "nf4", "seed": 0, "checkpoint_seconds": 120.0, "keep_epochs": false, "processes": 1, "merge": false,
"answer_weight": 0.25, "preference": "hinge", "hinge_weight": 0.1, "beta": 0.1, "temperature": 2.0, "kl_weight": 0.75,
"teacher": "teacher", "layers": [], "distance": "mse", "feature_weight": 1.0}, "evaluate": {"jobs": ["student-before"],
"benchmarks": [], "map": {}, "domain": "math", "samples": 1, "temperature": 0.0, "max_tokens": 512, "limit": 0}}
"""
#: Options without a section, and with one: they mean the same.
BOTH_FORMS = [
    ('objective = "stepwise"\nanswer_weight = 0.3\n', "[fit.stepwise]\nanswer_weight = 0.3\n"),
    (
        'objective = "preference"\npreference = "dpo"\nbeta = 0.2\n',
        '[fit.preference]\nloss = "dpo"\nbeta = 0.2\n',
    ),
    (
        'objective = "logits"\ntemperature = 2.0\nkl_weight = 0.9\n',
        "[fit.logits]\ntemperature = 2.0\nkl_weight = 0.9\n",
    ),
    (
        'objective = "features"\nteacher = "big"\nlayers = [[1, 2]]\n',
        '[fit.features]\nteacher = "big"\nlayers = [[1, 2]]\n',
    ),
]


def _load(folder: Path, fit: str, *changes: str) -> RoundSpec:
    path = folder / "ROUND.toml"
    path.write_text(LEAST + fit)
    return load(path, changes)


@pytest.mark.parametrize(("old", "new"), BOTH_FORMS)
def test_options_with_and_without_a_section_mean_the_same(tmp_path: Path, old: str, new: str) -> None:
    sectioned = _load(tmp_path, old.partition("\n")[0] + "\n" + new)
    assert _load(tmp_path, old) == sectioned
    assert _load(tmp_path, old).fit.options == sectioned.fit.options != type(sectioned.fit.options)()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("stepwise", StepwiseOptions()),
        ("preference", PreferenceOptions()),
        ("logits", LogitsOptions()),
        ("features", FeaturesOptions()),
    ],
)
def test_an_objective_without_a_section_has_its_defaults(tmp_path: Path, name: str, options: object) -> None:
    assert _load(tmp_path, f'objective = "{name}"\n').fit.options == options


@pytest.mark.parametrize(("old", "new"), BOTH_FORMS)
def test_a_spec_is_stored_with_the_section_of_its_objective_alone(tmp_path: Path, old: str, new: str) -> None:
    spec = _load(tmp_path, old)
    stored = json.loads(spec.model_dump_json())["fit"]
    sections = [key for key, value in stored.items() if isinstance(value, dict)]
    assert sections == [spec.fit.objective]
    assert RoundSpec.model_validate_json(spec.model_dump_json()) == spec == parse(spec.model_dump(), "the round")


def test_a_spec_stored_without_sections_opens() -> None:
    fit = parse(json.loads(STORED), "round 1").fit
    assert (fit.objective, fit.epochs, fit.options) == ("logits", 2, LogitsOptions(temperature=2.0, kl_weight=0.75))


def test_a_stored_objective_without_options_opens() -> None:
    content = json.loads(STORED)
    content["fit"]["objective"] = "sft"
    assert not parse(content, "round 1").fit.options.model_dump()


def test_an_unknown_option_is_an_error_with_the_similar_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit\.logits\.kl_wieght: .*did you mean kl_weight\?"):
        _load(tmp_path, 'objective = "logits"\n[fit.logits]\nkl_wieght = 0.5\n')


def test_an_unknown_section_is_an_error_with_the_similar_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit\.logit: .*did you mean logits\?"):
        _load(tmp_path, 'objective = "logits"\n[fit.logit]\nkl_weight = 0.5\n')


def test_a_wrong_value_of_an_option_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit\.preference\.loss: .*'hinge' or 'dpo'"):
        _load(tmp_path, 'objective = "preference"\n[fit.preference]\nloss = "mse"\n')


def test_an_option_with_two_values_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"fit\.kl_weight = 0\.5 contradicts fit\.logits\.kl_weight = 0\.9"):
        _load(tmp_path, 'objective = "logits"\nkl_weight = 0.5\n[fit.logits]\nkl_weight = 0.9\n')


def test_options_of_another_objective_are_refused_until_removed(tmp_path: Path) -> None:
    fit = 'objective = "sft"\n[fit.logits]\nkl_weight = 0.9\n'
    with pytest.raises(UsageError, match=r"\[fit\.logits\] .*but objective = 'sft'.*--set fit\.logits=\{\}"):
        _load(tmp_path, fit)
    assert _load(tmp_path, fit, "fit.logits={}").fit.objective == "sft"


def test_reading_a_spec_loads_no_torch() -> None:
    code = "import sys, trainer.spec; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_served_ranks_are_those_of_vllm() -> None:
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    from tracemill.model_settings import LORA_RANKS

    vllm = find_spec("vllm")  # without importing it
    assert vllm is not None
    assert vllm.origin is not None
    source = Path(vllm.origin).with_name("config") / "lora.py"
    values = [
        node.value
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MaxLoRARanks"
    ]
    assert ast.unparse(values[0]) == f"Literal[{', '.join(map(str, LORA_RANKS))}]"
