"""Settings: flags, then `TRACEMILL_*` variables, then `tracemill.toml`, then the running local stack, then defaults.

`tracemill config` prints all values and the source of each. In the environment, two underscores separate the parts of a
nested key: `TRACEMILL_MODELS__TEACHER__MODEL=Qwen/Qwen3-4B`. The options of an engine are in a section with its name,
`TRACEMILL_MODELS__TEACHER__VLLM__MAX_MODEL_LEN=8192`. Outside of it, as in older releases, they are read too.
"""

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tracemill.concurrency import once
from tracemill.errors import UsageError, reason_of
from tracemill.model_settings import ModelSettings, move_options
from tracemill.sections import Section, located

#: The settings file that nobody has to name.
FOLDER_FILE = Path("tracemill.toml")

#: The default model aliases, as a settings file would have them. They have the same settings, so one engine serves all.
DEFAULT_MODELS: dict[str, dict[str, Any]] = {
    alias: {"engine": "vllm", "vllm": {"adapters": True}} for alias in ("teacher", "student", "verifier")
}


class CallSettings(Section):
    """One request of a method's chain."""

    #: Later calls quote its text as `{name}`.
    name: str
    #: The system message; none by default.
    system: str | None = None
    #: The user message.
    user: str = "{question}"


class MethodSettings(Section):
    """A method that the user defines with templates. `tracemill.methods.templates` checks it."""

    #: Its publication.
    paper: str = ""
    #: The system message; none by default. May hold `{question}`, `{gold}`, `{trace}`, `{work}` and `{end}`.
    system: str | None = None
    #: The user message.
    user: str = "{question}"
    #: Its traces are examples of wrong reasoning. They are accepted only if their answer is wrong.
    negative: bool = False
    #: System messages by the name of the variant, instead of `system`.
    variants: dict[str, str] = Field({})
    #: A chain of requests, instead of `system`, `user` and `variants`. The text of the last one is the trace.
    calls: list[CallSettings] = Field([])


class FeederSettings(Section):
    """The amount of work in Redis, and the time after which it counts as lost."""

    #: Largest number of queued questions of one model alias; its jobs share it. Questions that workers have claimed do
    #: not count. By default four times the concurrency of its live workers, at least 256. All models together never
    #: have more than 10,000.
    window: int | None = Field(None, ge=1)
    #: Largest number of questions of one job that are queued or wait for verdicts. So a slow verifier slows the job
    #: down. By default four windows.
    backlog: int | None = Field(None, ge=1)
    #: Seconds between two steps of the feeder.
    interval_seconds: float = Field(0.5, gt=0)
    #: Seconds after which the feeder looks for the message of a queued question in Redis. It sends a lost one again.
    queued_lease_seconds: float = Field(600, gt=0)
    #: Seconds without a heartbeat after which the claims of a process are taken back. A trainer's lease on a round.
    running_lease_seconds: float = Field(30, gt=1)
    #: Seconds that a question with traces waits for a verifier before the feeder looks for its message in Redis.
    verify_lease_seconds: float = Field(120, gt=0)
    #: Failed visits, or failed verifications, after which a question is `failed`.
    max_attempts: int = Field(5, ge=1)
    #: Seconds after which another feeder leads if the leader is dead, frozen or cut off. More than twice the interval.
    leader_lease_seconds: float = Field(15, gt=0)
    #: Seconds after which the feeder ends a transaction of the read-only role. Long ones slow all processes down.
    reader_seconds: float = Field(900, gt=0)

    @model_validator(mode="after")
    def _check_leader_lease(self) -> Self:
        if self.leader_lease_seconds <= 2 * self.interval_seconds:
            raise ValueError("leader_lease_seconds must be more than twice interval_seconds")
        return self


class LocalSettings(Section):
    """The processes that `tracemill up` starts."""

    #: Fixed port of Postgres. By default a free port, kept between runs.
    postgres_port: int | None = None
    #: Fixed port of Redis. By default a free port, kept between runs.
    redis_port: int | None = None
    #: Model aliases of the local generate worker. An empty list means no such worker.
    generate: list[str] = Field(["teacher", "student"])
    #: Model alias with which the local generate worker also judges traces, for jobs with a judge. "" means no judge.
    judge: str | None = "verifier"
    #: The GPUs of the local generate workers: "all", or a list such as [0, 1]. Each GPU gets a worker that serves all
    #: aliases. An engine with `tensor_parallel_size` > 1 takes a group of GPUs. Without a GPU there is one worker.
    gpus: Literal["all"] | list[int | str] = "all"
    #: Whether to start a trainer worker.
    train: bool = True
    #: Whether to start Flower, Celery's monitor.
    flower: bool = True
    #: Whether Flower, of `tracemill up` or `tracemill celery flower`, may shut down workers and send or revoke tasks.
    #: By default it only shows them.
    flower_writable: bool = False

    @property
    def served(self) -> list[str]:
        """The model aliases that the local generate workers serve or judge with."""
        return list(dict.fromkeys([*self.generate, *([self.judge] if self.judge else [])]))


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(env_prefix="TRACEMILL_", env_nested_delimiter="__", extra="forbid", frozen=True)

    #: The local stack's folder: Postgres, Redis, logs, models, adapters.
    data_dir: Path = Path(".tracemill")
    #: Address of Postgres or of a pooler in transaction mode, for SQLAlchemy. By default the local stack's.
    database_url: SecretStr | None = None
    #: Address of Postgres for `tracemill db`, with the role that owns the tables, and without a connection pooler
    #: between. By default `database_url`.
    direct_url: SecretStr | None = None
    #: Address of Postgres for `tracemill sql`, `export`, `report` and other long reads, with the read-only role. It may
    #: be a replica. By default the local stack's.
    reader_url: SecretStr | None = None
    #: Address of Redis, Celery's broker. By default the local stack's.
    redis_url: SecretStr | None = None
    #: Model aliases, each with the keys below. The default ones run the embedded model with `vllm.adapters = true`.
    #: They always exist, and your file changes them key by key.
    models: dict[str, ModelSettings] = {}
    #: The user's own methods, beside those of `tracemill/methods/`.
    methods: dict[str, MethodSettings] = {}
    #: The amount of work in Redis.
    feeder: FeederSettings = FeederSettings()
    #: The processes of the local stack.
    local: LocalSettings = LocalSettings()
    #: Samples that one worker has in an engine at a time. By default as many as the key-value cache of vLLM holds if
    #: they have an eighth of `max_model_len`, and 256 with a server.
    generate_concurrency: int | None = Field(None, ge=1)
    #: Seconds that a worker has after SIGTERM to finish its work. Then it hands back the rest. Keep it below the limit
    #: of the supervisor, which then kills the worker: 20 s in the local stack, 30 s in Docker and Kubernetes.
    grace_seconds: float = Field(15, ge=0)
    #: Verify tasks at a time, and child processes for symbolic work. 0 means one for each core.
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
        local = LocalStackSource(settings_cls, init_settings, environment, toml)
        return init_settings, environment, toml, local, DefaultModelsSource(settings_cls, environment, toml)


class EnvironmentSource(EnvSettingsSource):
    """`TRACEMILL_*` variables."""

    def __call__(self) -> dict[str, Any]:
        _refuse_misspelt_variables()
        return move_options(super().__call__())


def _refuse_misspelt_variables() -> None:
    """Raise ValueError for a variable whose name is nearly that of a setting."""
    for name in os.environ:
        key = name.removeprefix("TRACEMILL_").split("__")[0].lower()
        if not name.startswith("TRACEMILL_") or key in Settings.model_fields:
            continue
        if similar := get_close_matches(key, Settings.model_fields, n=1, cutoff=0.8):
            raise ValueError(f"there is no variable {name}; did you mean TRACEMILL_{similar[0].upper()}?")


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
        # Imported here, so that an import of the settings does not import the stack.
        from tracemill.stack import load

        folder = next((values["data_dir"] for source in self.before if (values := source()).get("data_dir")), None)
        stack = load(Path(folder or Settings.model_fields["data_dir"].default))
        if stack is None:
            return {}
        return {"database_url": stack.database_url, "reader_url": stack.reader_url, "redis_url": stack.redis_url}


class DefaultModelsSource(PydanticBaseSettingsSource):
    """The default model aliases. Sources are merged key by key, so an alias keeps the defaults that no source changes.

    An alias with another engine has no default options of vLLM.
    """

    def __init__(self, settings_cls: type[BaseSettings], *before: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self.before = before

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        changed = [models for source in self.before if isinstance(models := source().get("models"), Mapping)]
        engines = {alias: _engine_of(alias, changed) for alias in DEFAULT_MODELS}
        return {"models": {alias: values for alias, values in DEFAULT_MODELS.items() if engines[alias] == "vllm"}}


def _engine_of(alias: str, changed: list[Mapping[str, Any]]) -> object:
    """The engine that the first source names for an alias; `vllm` if none does."""
    values = (models[alias] for models in changed if isinstance(models.get(alias), Mapping))
    return next((keys["engine"] for keys in values if "engine" in keys), "vllm")


def config_file() -> Path:
    """The settings file: `TRACEMILL_CONFIG`, otherwise `tracemill.toml` in the current folder.

    Raises UsageError if TRACEMILL_CONFIG names no file, or if the file of the folder is another user's.
    """
    named = os.environ.get("TRACEMILL_CONFIG")
    if named and not Path(named).is_file():
        raise UsageError(f"no settings file {named} (named by --config or TRACEMILL_CONFIG)")
    if not named:
        _require_own(FOLDER_FILE)
    return Path(named) if named else FOLDER_FILE


def is_file_of_folder() -> bool:
    """Whether the settings come from a file that was in the working folder. Nobody has named it."""
    return not os.environ.get("TRACEMILL_CONFIG") and FOLDER_FILE.is_file()


def _require_own(file: Path) -> None:
    """Raise UsageError if another user can have written a settings file of the working folder."""
    with suppress(FileNotFoundError):
        status = file.stat()
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & stat.S_IWOTH:
            raise UsageError(
                f"{file.absolute()} belongs to another user, or every user may write it. "
                f"If you trust it, name it: --config {file}"
            )


@once
def settings() -> Settings:
    """The settings of this process, read once. Raises UsageError that names the wrong key."""
    try:
        return Settings()
    except ValidationError as error:
        first = located(error, "settings", suggestions=Settings.model_fields).errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"setting {where}: {first['msg']} (in {config_file()} or TRACEMILL_* variables)") from None
    except (ValueError, OSError) as error:  # invalid TOML, or a variable that is not JSON
        raise UsageError(
            f"cannot read the settings ({config_file()} and TRACEMILL_* variables): {reason_of(error)}"
        ) from None


def model(alias: str) -> ModelSettings:
    """The settings of a model alias. Raises UsageError that lists the known aliases."""
    models = settings().models
    if alias not in models:
        known = ", ".join(sorted(models))
        raise UsageError(f"unknown model alias '{alias}': the settings define {known}. Add [models.{alias}] to them.")
    return models[alias]


def origins() -> dict[str, str]:
    """The source of each top-level value: `environment`, the settings file, `local stack` or `default`."""
    chain = Settings.settings_customise_sources(Settings, *_no_flags())
    names = ("flags", "environment", str(config_file()), "local stack", "default")
    sources = [(name, source()) for name, source in zip(names, chain, strict=True)]
    return {
        field: next((name for name, values in sources if field in values), "default") for field in Settings.model_fields
    }


def _no_flags() -> tuple[Any, Any, Any, Any]:
    from pydantic_settings import InitSettingsSource

    env = EnvSettingsSource(Settings)
    return InitSettingsSource(Settings, {}), env, env, env


def shown(value: Settings) -> dict[str, Any]:
    """The settings as plain JSON values, secrets masked."""
    plain: dict[str, Any] = json.loads(value.model_dump_json())
    return plain
