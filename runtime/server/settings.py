"""The server's settings: from command line, environment and TOML file."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from allocator.errors import InputError
from runtime.engines.engine_args import (
    ENGINE_HELP,
    REVISER_HELP,
    VERIFIER_ENGINE_HELP,
    VERIFIER_HELP,
    EngineArgs,
    given_args,
    read_args,
)
from runtime.engines.loading import ENGINE_NAME_HELP
from runtime.frontend.call_syntax import check_tool_parser
from runtime.frontend.fields import DECIMAL, WHOLE

LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEYS = ("api_keys", "admin_keys")
MASK = "**********"  # shown in place of a key


def _args(given: Any, info: ValidationInfo) -> Any:
    """Arguments of an engine: a table of the file, or JSON."""
    return read_args(str(info.field_name), given)


Args = Annotated[dict[str, Any], NoDecode, BeforeValidator(_args)]

NUMBERS = {int: WHOLE, float: DECIMAL}  # numbers in environment variables
ORIGIN = r"https?://[^/?#\s]+"


def _split(texts: Any) -> Any:
    """Texts of an environment variable: comma-separated."""
    return texts.split(",") if isinstance(texts, str) else texts


Texts = (NoDecode, BeforeValidator(_split))


class ServeSettings(BaseSettings):
    """A server's settings.

    Each is taken from the command line, else from the environment (``TTC_PORT``), else from the
    TOML file, else as it stands here.
    """

    model_config = SettingsConfigDict(
        env_prefix="TTC_", extra="forbid", frozen=True, allow_inf_nan=False
    )

    artifact: Path = Field(
        description="calibrated artifact: a folder, or OWNER/NAME or OWNER/NAME@REVISION on the "
        "Hugging Face Hub"
    )
    engine: str = Field(default="auto", description=ENGINE_NAME_HELP)
    verifier_engine: str = Field(default="auto", description=VERIFIER_ENGINE_HELP)
    engine_args: Args = Field(default={}, description=ENGINE_HELP)
    verifier_args: Args = Field(default={}, description=VERIFIER_HELP)
    reviser_args: Args = Field(default={}, description=REVISER_HELP)
    served_model_name: str = Field(
        default="", description="model name for clients; empty uses the model folder's name"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes any")
    api_keys: Annotated[tuple[SecretStr, ...], *Texts] = Field(
        default=(), description="key that clients may use; without keys, only loopback addresses"
    )
    admin_keys: Annotated[tuple[SecretStr, ...], *Texts] = Field(
        default=(),
        description="key with which ttc reload may change the artifact; other keys may not",
    )
    cors_origins: Annotated[tuple[str, ...], *Texts] = Field(
        default=(),
        description="origin of web pages that may call the server, such as https://chat.example, "
        "or * for all",
    )
    default_budget: int = Field(
        default=16, ge=1, description="generations per prompt of a request without a budget"
    )
    max_budget: int = Field(
        default=256, ge=1, description="largest budget of a request, in generations"
    )
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="largest request body")
    max_concurrent: int = Field(default=256, ge=1, description="requests in flight")
    max_concurrent_per_key: int = Field(
        default=128,
        ge=1,
        description="requests in flight per key; more are refused with status 429",
    )
    request_timeout: float = Field(
        default=3600.0, gt=0, description="seconds until a request is cancelled"
    )
    body_timeout: float = Field(
        default=60.0, gt=0, description="seconds in which a request's body must arrive"
    )
    drain_timeout: float = Field(
        default=30.0, gt=0, description="seconds for requests to finish after SIGTERM"
    )
    log_prompts: bool = Field(
        default=False, description="write prompts and answers to the log and the live page"
    )
    tool_parser: str = Field(
        default="auto",
        description="how the model writes calls of tools: hermes (between <tool_call> tags), json, "
        "auto, by whether there is a tag, or the name of one of vLLM's tool parsers",
    )
    return_tokens_as_token_ids: bool = Field(
        default=False, description="write tokens in log-probabilities as token_id:N"
    )
    enable_force_include_usage: bool = Field(
        default=False, description="give usage with every chunk of every stream"
    )
    record: str = Field(
        default="",
        description="folder to record samples and scores of prompts in, for ttc calibrate "
        "--from-logs; empty records nothing",
    )
    record_share: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="share of the prompts to record; they are answered by best-of-N, whose samples "
        "are independent",
    )
    record_prompts: bool = Field(
        default=False, description="record prompts and answers as they are, not as hashes"
    )
    record_megabytes: int = Field(
        default=256, ge=1, description="size of the record; then the oldest samples are removed"
    )
    seed: int = Field(default=0, ge=0, description="seed of requests without one")
    force: bool = Field(default=False, description="use an artifact made for another model")
    trust_grader: str = Field(
        default="",
        description="artifact on the Hub whose Python grader may be run, as OWNER/NAME or "
        "OWNER/NAME@COMMIT",
    )

    def given_args(self) -> dict[str, EngineArgs]:
        """Arguments of engines, by the artifact's settings that they add to.

        Raises:
            InputError: as `runtime.engines.engine_args.given_args`.
        """
        args = self.engine_args, self.verifier_args, self.reviser_args
        return given_args(*args, self.engine, self.verifier_engine)

    @property
    def keys(self) -> list[str]:
        """All keys, those of administrators last; without any every request is accepted."""
        return [key.get_secret_value() for key in (*self.api_keys, *self.admin_keys)]

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind in NUMBERS and isinstance(value, str) and not re.fullmatch(NUMBERS[kind], value):
            raise InputError(str(info.field_name), value, "give a number, such as 16")
        return value

    @model_validator(mode="after")
    def _check(self) -> "ServeSettings":
        check_tool_parser(self.tool_parser)
        if not self.keys and self.host not in LOOPBACK:
            raise InputError(
                "host",
                self.host,
                "without a key it must be a loopback address; set a key, or listen on 127.0.0.1",
            )
        for field in KEYS:
            if any(key.get_secret_value() in ("", MASK) for key in getattr(self, field)):
                raise InputError(
                    field, MASK, "a key must not be empty or masked; give the key itself"
                )
        for origin in self.cors_origins:
            if origin != "*" and not re.fullmatch(ORIGIN, origin):
                hint = "give an origin such as https://chat.example, without a path, or *"
                raise InputError("cors_origins", origin, hint)
        if "*" in self.cors_origins and not self.keys:
            raise InputError(
                "cors_origins",
                "*",
                "any web page could use the server; set a key, or list the origins",
            )
        if self.default_budget > self.max_budget:
            raise InputError(
                "default_budget",
                self.default_budget,
                f"must be at most max_budget, {self.max_budget}",
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the TOML file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings(given: Mapping[str, Any], config: Path | None = None) -> ServeSettings:
    """Settings from all their sources.

    Args:
        given: settings of the command line.
        config: the TOML file; None for none.

    Raises:
        InputError: a setting that is missing, unknown, out of range or inconsistent with another;
            or a file that is missing or is not TOML.
    """
    if config is not None and not config.is_file():
        raise InputError("config", str(config), "there is no such file; give a TOML file")

    class Configured(ServeSettings):
        model_config = SettingsConfigDict(toml_file=config)

    try:
        return Configured(**given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError("config", str(config), f"it is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise cause from None
        field = str(first["loc"][0])
        if first["type"] == "missing":
            raise InputError(
                field, None, f"give --{field}, TTC_{field.upper()}, or {field} in a TOML file"
            ) from None
        value = MASK if field in KEYS else first["input"]
        raise InputError(field, value, first["msg"]) from None


def as_toml(settings: ServeSettings) -> str:
    """Settings as a TOML file, with keys masked."""
    plain = settings.model_dump(mode="json")
    plain |= {field: [MASK] * len(plain[field]) for field in KEYS}
    # Arguments of engines may be null, which TOML has not: as a text of JSON.
    args = {name: value for name, value in plain.items() if isinstance(value, dict) and value}
    plain |= {name: json.dumps(value) for name, value in args.items()}
    # A JSON string, number, boolean, empty object or list of strings is valid TOML.
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items())
    return "\n".join(lines) + "\n"
