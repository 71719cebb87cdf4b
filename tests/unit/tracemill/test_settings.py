"""Settings: one order of precedence, errors that name the key, secrets that stay masked."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT
from tests.conftest import forget
from tracemill.errors import UsageError
from tracemill.settings import model, origins, settings, shown


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "my.toml"
    file.touch()
    monkeypatch.setenv("TRACEMILL_CONFIG", str(file))
    forget()
    return file


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml.write_text("generate_concurrency = 7\nverify_concurrency = 3\n")
    monkeypatch.setenv("TRACEMILL_VERIFY_CONCURRENCY", "5")
    assert (settings().generate_concurrency, settings().verify_concurrency) == (7, 5)
    sources = origins()
    assert sources["generate_concurrency"] == str(toml)
    assert sources["verify_concurrency"] == "environment"
    assert sources["feeder"] == "default"


def test_a_nested_value_can_be_set_by_a_variable(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS__TEACHER__MODEL", "Qwen/Qwen3-4B")
    assert model("teacher").model == "Qwen/Qwen3-4B"


class TestDefaultAliases:
    """The aliases of every installation are changed key by key."""

    def test_naming_one_model_in_the_file_keeps_the_rest(self, toml: Path) -> None:
        before = settings().models
        toml.write_text("[models.student]\nmodel = 'Qwen/Qwen3-0.6B'\n")
        forget()
        assert settings().models == before | {
            "student": before["student"].model_copy(update={"model": "Qwen/Qwen3-0.6B"})
        }
        assert model("student").vllm.adapters

    def test_naming_one_model_in_a_variable_keeps_the_rest(self, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TRACEMILL_MODELS__TEACHER__MODEL", "Qwen/Qwen3-4B")
        assert sorted(settings().models) == ["student", "teacher", "verifier"]
        assert (model("teacher").model, model("teacher").vllm.adapters) == ("Qwen/Qwen3-4B", True)

    def test_a_variable_and_the_file_may_name_keys_of_one_alias(
        self, toml: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        toml.write_text("[models.teacher.vllm]\nmax_model_len = 4096\n")
        monkeypatch.setenv("TRACEMILL_MODELS__TEACHER__MODEL", "Qwen/Qwen3-4B")
        assert (model("teacher").model, model("teacher").vllm.max_model_len) == ("Qwen/Qwen3-4B", 4096)

    @pytest.mark.parametrize("in_file", [True, False])
    def test_another_engine_has_no_default_options_of_vllm(
        self, toml: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
    ) -> None:
        if in_file:
            toml.write_text("[models.verifier]\nengine = 'openai'\nopenai.base_url = 'http://localhost/v1'\n")
        else:
            monkeypatch.setenv("TRACEMILL_MODELS__VERIFIER__ENGINE", "openai")
        assert not model("verifier").vllm.adapters
        assert model("student").vllm.adapters

    def test_a_new_alias_has_no_defaults_of_another(self, toml: Path) -> None:
        toml.write_text("[models.mine]\nmodel = 'Qwen/Qwen3-4B'\n")
        assert not model("mine").vllm.adapters

    def test_config_shows_the_origin_of_the_aliases(self, toml: Path) -> None:
        assert origins()["models"] == "default"
        toml.write_text("[models.teacher]\nmodel = 'x'\n")
        forget()
        assert origins()["models"] == str(toml)

    def test_an_alias_that_is_no_table_is_an_error_that_names_it(self, toml: Path) -> None:
        toml.write_text("[models]\nteacher = 3\n")
        with pytest.raises(UsageError, match=r"models\.teacher"):
            settings()


def test_a_misspelt_key_is_an_error_that_names_the_key(toml: Path) -> None:
    toml.write_text("[models.teacher]\nmodle = 'x'\n")
    with pytest.raises(UsageError, match=r"models\.teacher\.modle"):
        settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("generate_concurency = 3", "generate_concurency: there is no such key; did you mean generate_concurrency?"),
        ("[model.teacher]", "setting model: there is no such key; did you mean models?"),
        ("[feeder]\nintervall_seconds = 3", "feeder.intervall_seconds: .* did you mean interval_seconds?"),
        ("[feeder]\nxyz = 3", "feeder.xyz: there is no such key. The keys are window, backlog, "),
    ],
)
def test_an_unknown_key_is_an_error_with_the_key_that_is_meant(toml: Path, content: str, message: str) -> None:
    toml.write_text(content)
    with pytest.raises(UsageError, match=message):
        settings()


def test_a_rank_that_vllm_does_not_take_is_an_error_with_the_next_one(toml: Path) -> None:
    toml.write_text("[models.student.vllm]\nmax_lora_rank = 17\n")
    with pytest.raises(UsageError, match=r"max_lora_rank: .* takes only 1, 8, 16, 32, 64, 128, 256, 320, 512; set 32"):
        settings()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [("GENERATE_CONCURENCY", "GENERATE_CONCURRENCY"), ("MODEL__TEACHER__MODEL", "MODELS"), ("DATADIR", "DATA_DIR")],
)
def test_a_misspelt_variable_is_an_error(
    toml: Path, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(f"TRACEMILL_{variable}", "3")
    with pytest.raises(UsageError, match=rf"no variable TRACEMILL_{variable}; did you mean TRACEMILL_{meant}\?"):
        settings()


def test_a_file_that_is_not_toml_is_an_error_that_names_it(toml: Path) -> None:
    toml.write_text("[models\n")
    with pytest.raises(UsageError, match=r"my\.toml"):
        settings()


def test_the_error_for_an_unknown_alias_lists_the_known_aliases(toml: Path) -> None:
    with pytest.raises(UsageError, match="student, teacher, verifier"):
        model("techer")


def test_a_named_settings_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", "/no/such/file.toml")
    forget()
    with pytest.raises(UsageError, match="no settings file"):
        settings()


@pytest.mark.parametrize("change", [lambda file: file.chmod(0o666), lambda file: os.chown(file, 4321, -1)])
def test_a_file_of_the_folder_that_another_user_can_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    file = tmp_path / "tracemill.toml"
    file.touch()
    try:
        change(file)
    except PermissionError:
        pytest.skip("only root can give a file away")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACEMILL_CONFIG")
    forget()
    with pytest.raises(UsageError, match=r"every user may write it. If you trust it, name it: --config"):
        settings()
    monkeypatch.setenv("TRACEMILL_CONFIG", str(file))
    settings()


def test_secrets_are_masked(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_DATABASE_URL", "postgresql+psycopg://me:hunter2@h/db")
    forget()
    assert "hunter2" not in str(shown(settings()))
    assert shown(settings())["database_url"] == "**********"


def test_the_example_file_is_valid_and_shows_the_defaults(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = settings().model_dump()
    monkeypatch.setenv("TRACEMILL_CONFIG", str(ROOT / "tracemill.example.toml"))
    forget()
    assert settings().model_dump() == defaults


OLD_FORM = """
[models.teacher]
max_model_len = 4096
adapters = true
options = { max_logprobs = 20 }
[models.verifier]
engine = "openai"
base_url = "http://localhost:8000/v1"
tokens_per_minute = 9
"""
NEW_FORM = """
[models.teacher.vllm]
max_model_len = 4096
adapters = true
options = { max_logprobs = 20 }
[models.verifier]
engine = "openai"
[models.verifier.openai]
base_url = "http://localhost:8000/v1"
tokens_per_minute = 9
"""


class TestOptionsOfAnEngine:
    def test_the_old_form_without_sections_gives_the_same_settings(self, toml: Path) -> None:
        toml.write_text(OLD_FORM)
        old = settings()
        toml.write_text(NEW_FORM)
        forget()
        assert settings() == old
        assert (old.models["teacher"].vllm.max_model_len, old.models["verifier"].openai.tokens_per_minute) == (4096, 9)

    @pytest.mark.parametrize("form", ["", "VLLM__"])
    def test_a_variable_of_either_form_wins_over_the_file(
        self, toml: Path, monkeypatch: pytest.MonkeyPatch, form: str
    ) -> None:
        toml.write_text(NEW_FORM)
        monkeypatch.setenv(f"TRACEMILL_MODELS__TEACHER__{form}MAX_MODEL_LEN", "8192")
        monkeypatch.setenv(f"TRACEMILL_MODELS__TEACHER__{form}OPTIONS", '{"max_num_seqs": 7}')
        vllm = model("teacher").vllm
        assert (vllm.max_model_len, vllm.adapters) == (8192, True)
        assert vllm.options == {"max_logprobs": 20, "max_num_seqs": 7}

    def test_a_key_with_two_values_is_an_error_that_names_both(self, toml: Path) -> None:
        toml.write_text(OLD_FORM.replace("[models.verifier]", "vllm.max_model_len = 512\n[models.verifier]"))
        with pytest.raises(
            UsageError, match=r"models\.teacher\.max_model_len = 4096 .*teacher\.vllm\.max_model_len = 512"
        ):
            settings()

    def test_a_key_given_twice_with_one_value_is_no_error(self, toml: Path) -> None:
        toml.write_text(OLD_FORM.replace("[models.verifier]", "vllm.max_model_len = 4096\n[models.verifier]"))
        assert model("teacher").vllm.max_model_len == 4096

    def test_an_unknown_option_is_an_error_with_the_similar_key(self, toml: Path) -> None:
        toml.write_text("[models.teacher.vllm]\nmax_model_length = 4096\n")
        with pytest.raises(
            UsageError, match=r"models\.teacher\.vllm\.max_model_length: .*did you mean max_model_len\?"
        ):
            settings()

    def test_a_section_that_is_no_table_is_an_error_that_names_it(self, toml: Path) -> None:
        toml.write_text("[models.teacher]\nvllm = 3\nadapters = true\n")
        with pytest.raises(UsageError, match=r"models\.teacher\.vllm"):
            settings()

    def test_the_settings_shown_have_the_sections(self, toml: Path) -> None:
        toml.write_text(OLD_FORM)
        teacher = shown(settings())["models"]["teacher"]
        assert teacher["vllm"]["max_model_len"] == 4096
        assert "max_model_len" not in teacher


@pytest.mark.parametrize(
    "line", ["price_in = -1", "price_out = inf", "openai.requests_per_minute = 0", "openai.tokens_per_minute = -5"]
)
def test_an_impossible_price_or_limit_is_an_error_that_names_the_key(toml: Path, line: str) -> None:
    toml.write_text(f"[models.teacher]\n{line}\n")
    with pytest.raises(UsageError, match=rf"models\.teacher\.{line.split()[0]}"):
        settings()
