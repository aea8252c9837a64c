"""Everything that can be set of a server: by TOML file, environment or command line."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServeSettings(BaseSettings):
    """A server's settings.

    Each is taken from the command line, else from the environment (``TTC_PORT``), else from the
    TOML file, else as it stands here.
    """

    model_config = SettingsConfigDict(env_prefix="TTC_", extra="forbid", frozen=True)

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
    api_keys: tuple[SecretStr, ...] = Field(
        default=(), description="keys that clients may use; without any, loopback only"
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
