"""Settings: flags, then `TRACEMILL_*` variables, then `tracemill.toml`, then the running local stack, then defaults.

`tracemill config` prints what is in force and where each value came from. Nested values are written with two
underscores in the environment: `TRACEMILL_MODELS__TEACHER__MODEL=Qwen/Qwen3-4B`. Options of an engine are in a section
of its name, `TRACEMILL_MODELS__TEACHER__VLLM__MAX_MODEL_LEN=8192`; outside of it, as in older releases, they are
read as well.
"""

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tracemill.concurrency import once
from tracemill.errors import UsageError
from tracemill.model_settings import ModelSettings, VllmOptions, move_options
from tracemill.sections import Section


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
    variants: dict[str, str] = Field({})
    #: A chain of requests, in place of `system`, `user` and `variants`; the text of the last one is the trace.
    calls: list[CallSettings] = Field([])


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
    generate: list[str] = Field(["teacher", "student"])
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
        "teacher": ModelSettings(vllm=VllmOptions(adapters=True)),
        "student": ModelSettings(vllm=VllmOptions(adapters=True)),
        "verifier": ModelSettings(vllm=VllmOptions(adapters=True)),
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
        environment, toml = EnvironmentSource(settings_cls), FileSource(settings_cls, config_file())
        return init_settings, environment, toml, LocalStackSource(settings_cls, init_settings, environment, toml)


class EnvironmentSource(EnvSettingsSource):
    """`TRACEMILL_*` variables."""

    def __call__(self) -> dict[str, Any]:
        return move_options(super().__call__())


class FileSource(TomlConfigSettingsSource):
    """The settings file."""

    def __call__(self) -> dict[str, Any]:
        return move_options(super().__call__())


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
    from pydantic_settings import InitSettingsSource

    env = EnvSettingsSource(Settings)
    return InitSettingsSource(Settings, {}), env, env, env


def shown(value: Settings) -> dict[str, Any]:
    """The settings as plain JSON values with secrets masked."""
    plain: dict[str, Any] = json.loads(value.model_dump_json())
    return plain
