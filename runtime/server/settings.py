"""Everything that can be set of a server: by TOML file, environment or command line."""

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
from runtime.frontend.fields import DECIMAL, WHOLE

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MASK = "**********"  # what stands for a key where settings are shown


NUMBERS = {int: WHOLE, float: DECIMAL}  # as the environment has them
ORIGIN = r"https?://[^/?#\s]+"


def _split(texts: Any) -> Any:
    """Texts as the environment has them: comma-separated."""
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

    artifact: Path = Field(description="calibrated artifact folder")
    engine: str = Field(
        default="auto",
        description="auto, vllm, transformers, or URLs of vllm servers, comma-separated",
    )
    served_model_name: str = Field(
        default="", description="name clients ask for; empty takes the model folder's"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes any")
    api_keys: Annotated[tuple[SecretStr, ...], *Texts] = Field(
        default=(), description="key that clients may use; without any, loopback only"
    )
    cors_origins: Annotated[tuple[str, ...], *Texts] = Field(
        default=(),
        description="origin of web pages that may call the server, such as https://chat.example, "
        "or * for all",
    )
    default_budget: int = Field(
        default=16, ge=1, description="generations of a request that names no budget"
    )
    max_budget: int = Field(default=256, ge=1, description="most generations a request may ask for")
    max_body_bytes: int = Field(default=1_000_000, ge=1, description="largest request body")
    max_concurrent: int = Field(default=256, ge=1, description="requests worked on at once")
    max_concurrent_per_key: int = Field(
        default=128, ge=1, description="of one key; more are refused with status 429"
    )
    request_timeout: float = Field(
        default=600.0, gt=0, description="seconds until a request is given up"
    )
    drain_timeout: float = Field(
        default=30.0, gt=0, description="seconds that requests may still take after SIGTERM"
    )
    log_prompts: bool = Field(
        default=False, description="write prompts and answers to the log and the live page"
    )
    seed: int = Field(default=0, ge=0, description="seed of requests that name none")
    force: bool = Field(default=False, description="use an artifact made for another model")

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind in NUMBERS and isinstance(value, str) and not re.fullmatch(NUMBERS[kind], value):
            raise InputError(str(info.field_name), value, "give a number, such as 16")
        return value

    @model_validator(mode="after")
    def _check(self) -> "ServeSettings":
        if not self.api_keys and self.host not in LOOPBACK:
            raise InputError(
                "host", self.host, "anybody could use it; set a key, or listen on 127.0.0.1"
            )
        if any(key.get_secret_value() in ("", MASK) for key in self.api_keys):
            raise InputError("api_keys", MASK, "a key is empty, or masked; give the key itself")
        for origin in self.cors_origins:
            if origin != "*" and not re.fullmatch(ORIGIN, origin):
                hint = "give an origin such as https://chat.example, without a path, or *"
                raise InputError("cors_origins", origin, hint)
        if "*" in self.cors_origins and not self.api_keys:
            raise InputError(
                "cors_origins", "*", "any web page could use it; set a key, or name the origins"
            )
        if self.default_budget > self.max_budget:
            raise InputError(
                "default_budget", self.default_budget, f"max_budget is {self.max_budget}; lower it"
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
        given: the command line's.
        config: the TOML file; None where there is none.

    Raises:
        InputError: a setting that is missing, unknown, out of range, or at odds with another; or
            a file that is missing or damaged.
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
        value = MASK if field == "api_keys" else first["input"]
        raise InputError(field, value, first["msg"]) from None


def as_toml(settings: ServeSettings) -> str:
    """Settings as a TOML file, with keys masked."""
    plain = settings.model_dump(mode="json") | {"api_keys": [MASK] * len(settings.api_keys)}
    # A JSON string, number, truth value or list of strings is TOML's, too.
    lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in plain.items())
    return "\n".join(lines) + "\n"
