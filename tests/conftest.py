"""Shared by all tests: the testbed's models, one vLLM engine for the whole run, fake models."""

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright

from benchmarks.testbed.paths import BASE, SETTINGS
from benchmarks.thinking.paths import SETTINGS as THINKING
from calibration.training.classifiers import add_layers
from calibration.training.settings import VerifierSettings
from runtime.artifact import Artifact
from runtime.engines import servers
from runtime.engines.transformers import TransformersEngine
from runtime.engines.vllm import VLLMEngine
from runtime.models import Models, open_models
from runtime.settings import Settings
from runtime.verifiers.loading import open_verifier
from runtime.verifiers.model_verifier import ModelVerifier
from tests.support.artifacts import artifact_of, bent_models, bent_prompts, calibrated
from tests.support.fork_server import fork_engines, vllm_serve
from tests.support.generation_config import ADVERSE
from tests.support.hub import TOKEN, Hub, serving_hub
from tests.support.live_server import Served
from tests.support.running import Run
from tests.support.serving import Api, Apis

# On a GPU: the session's engines, and those of tests, which divide what is free, side by side.
SMALL = {"gpu_memory_utilization": 0.2}

# make test runs two files of tests at once, on as few as two cores. Left to itself, vLLM on CPU
# binds the engines of both to the same core.
torch.set_num_threads(1)
os.environ |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
# Engines that this library does not start, as a `vllm.LLM`'s, take no second process either: see
# `runtime.engines.vllm_on_cpu`.
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

# Examples are the same in every run, and none has a deadline, which a busy machine would miss.
settings.load_profile("ci")

# Each takes half a minute to start: one process runs all files that use one of them.
SHARED = {"vllm_models", "vllm_verifier", "thinking_models", "server"}
# Others that take minutes. make test begins with all these, not to end with one of them alone.
LONG = (
    *("test_dropin", "test_supervisor", "test_training", "test_cli", "test_schema"),
    *("test_families_in_vllm", "test_behind_server", "test_hub_end_to_end", "test_reload"),
    *("test_distributed", "test_tutorials"),
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set the marker `vllm`, what runs in one process, and long files first.

    Raises:
        UsageError: two tests have one name, of which one alone would run.
    """
    names = Counter(item.nodeid for item in items)
    if twice := [name for name in names if names[name] > 1]:
        raise pytest.UsageError(f"several tests are called {twice}")
    sharing = {item.path.stem for item in items if _starts_vllm(item)}
    early = sharing.union(LONG)
    items.sort(key=lambda item: item.path.stem not in early)
    for item in items:
        name = item.path.stem
        if _starts_vllm(item):
            item.add_marker("vllm")
        item.add_marker(pytest.mark.xdist_group("sharing" if name in sharing else name))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Have vLLM's engines start quickly, before any fixture starts one."""
    if item.get_closest_marker("vllm"):
        fork_engines()


def _starts_vllm(item: pytest.Item) -> bool:
    """Whether a test uses vLLM in this process: by a fixture, or, marked, by itself."""
    return bool(SHARED & _needs(item)) or item.get_closest_marker("vllm") is not None


def _needs(item: pytest.Item) -> set[str]:
    """Names of the fixtures that a test takes, those among them that its parameters name."""
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    engines = {f"{name}_{kind}" for name in parameters for kind in ("models", "verifier")}
    return {*getattr(item, "fixturenames", ()), *engines}


@pytest.fixture(scope="session")
def run() -> Iterator[Run[Any]]:
    """Runs a coroutine in the session's one event loop, which the vLLM engine belongs to."""
    with asyncio.Runner() as runner:
        yield runner.run


def _open(run: Run[Any], engine: str, settings: Settings = SETTINGS) -> Iterator[Models]:
    stack = AsyncExitStack()
    settings = settings.with_args({"engine_args": SMALL})
    opening = stack.enter_async_context(open_models(settings, Path(), engine))
    yield run(opening)
    run(stack.aclose())


@pytest.fixture(scope="session")
def vllm_models(run: Run[Any]) -> Iterator[Models]:
    """The testbed through the real vLLM engine, started once."""
    yield from _open(run, "vllm")


@pytest.fixture
def theirs(vllm_models: Models) -> Any:
    """vLLM's own AsyncLLM of `vllm_models`."""
    assert isinstance(vllm_models.engine, VLLMEngine)
    return vllm_models.engine._core.engine


@pytest.fixture(scope="session")
def thinking_models(run: Run[Any]) -> Iterator[Models]:
    """The thinking model through the real vLLM engine, started once.

    What ends a thought at its cap begins the answer, too: a model itself never ends one like that.
    """
    cutoff = {"thought_cutoff": "\n</think>\n\n#"}
    yield from _open(run, "vllm", THINKING.model_copy(update=cutoff))


@pytest.fixture(scope="session")
def transformers_models(run: Run[Any]) -> Iterator[Models]:
    """The testbed through the real transformers engine."""
    yield from _open(run, "transformers")


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A token classifier on the base model, its head untrained; its context is 256."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("classifier")
    add_layers("prm", BASE, VerifierSettings()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vllm_verifier(run: Run[Any], tokenizer: Any, classifier: Path) -> Iterator[ModelVerifier]:
    """The classifier through vLLM's pooling runner, started once."""

    async def start() -> ModelVerifier:
        return open_verifier(classifier, tokenizer, engine="vllm", args=SMALL)

    verifier = run(start())
    yield verifier
    verifier.close()


@pytest.fixture(scope="session")
def transformers_verifier(tokenizer: Any, classifier: Path) -> Iterator[ModelVerifier]:
    """The classifier through transformers."""
    verifier = open_verifier(classifier, tokenizer, engine="transformers")
    yield verifier
    verifier.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The testbed's base model behind a real `vllm serve` on loopback, started once; its URL.

    Its generation_config.json asks for another way to sample, which must change nothing.
    """
    folder = tmp_path_factory.mktemp("served") / BASE.name
    shutil.copytree(BASE, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | ADVERSE))
    with vllm_serve(folder) as url:
        yield url


@pytest.fixture(scope="session")
def apis() -> Iterator[Apis]:
    """`ttc serve` with the testbed behind it, as many servers as one likes."""
    apis = Apis()
    yield apis
    apis.close()


@pytest.fixture(scope="session")
def api(apis: Apis) -> Iterator[Api]:
    """One of them. Its budget takes no pilots: they would call prompts asked again drift."""
    with apis.listening(default_budget=8) as api:
        yield api


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The testbed's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture
def transformers_engine() -> Iterator[TransformersEngine]:
    """A transformers engine of the test's own, bound to the test's own event loop."""
    engine = TransformersEngine(BASE)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def bent(tokenizer: Any) -> Artifact:
    """An artifact calibrated on bent coins."""
    return artifact_of(calibrated(bent_models(tokenizer), bent_prompts(80, seed=1)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One headless Chromium. Closed with this module: its event loop tolerates no other."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser: install Chromium (make browser); looked for {BROWSERS}")
    with sync_playwright() as playwright:
        # As root, as in CI, Chromium runs only without its sandbox.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A stand-in of the Hugging Face Hub, which is this process's, with an empty cache."""
    from huggingface_hub import constants

    with serving_hub() as hub:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for name, value in {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        yield hub


@pytest.fixture
def served() -> Iterator[Served]:
    """The live page's server."""
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are busy or failing are asked again at once."""
    monkeypatch.setattr(servers, "FIRST_WAIT", 0.01)
