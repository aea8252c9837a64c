"""Arguments of vLLM's engines: which are refused before a model is loaded, and what they change."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import runtime.opener
from allocator.errors import InputError
from benchmarks.testbed.paths import ARTIFACT, BASE, PRM, REVISING, SETTINGS
from runtime.artifact import Artifact
from runtime.engines import gpus
from runtime.engines.engine_args import check_unchanged, given_args, read_args
from runtime.engines.gpus import divide_memory, need_of, visible_gpus
from runtime.engines.memory import Gpu, Need
from runtime.models import open_models
from runtime.settings import Settings
from runtime.verifiers.loading import open_verifier
from tests.support.cli import refused

LLAMA = {"num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32}


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model may be loaded."""

    def never(*arguments: object, **others: object) -> None:
        pytest.fail(f"it loads {arguments}")

    monkeypatch.setattr(runtime.opener, "open_engine", never)
    monkeypatch.setattr(runtime.opener, "open_verifier", never)


def opened(settings: Settings, engine: Any = "vllm") -> None:
    async def enter() -> None:
        async with open_models(settings, Path(), engine):
            pytest.fail("it was not refused")

    asyncio.run(enter())


@pytest.mark.slow
@pytest.mark.usefixtures("unloaded")
@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        (SETTINGS, {"engine_args": {"tensor_paralel_size": 2}}, "did you mean tensor_parallel_siz"),
        (SETTINGS, {"engine_args": {"zzz": 2}}, r"zzz: 2: .*\(engine_args\); leave it out"),
        (SETTINGS, {"verifier_args": {"devices": 2}}, r"devices: 2: .*\(verifier_args\)"),
        (REVISING, {"reviser_args": {"zzz": 2}}, r"zzz: 2: .*\(reviser_args\)"),
        (SETTINGS, {"engine_args": {"model": "x"}}, "model: 'x': the artifact decides this"),
        (SETTINGS, {"engine_args": {"runner": "x"}}, "runner: 'x': the artifact decides this"),
        (SETTINGS, {"verifier_args": {"pooler_config": {}}}, "leave it out of verifier_args"),
        (SETTINGS, {"reviser_args": {"seed": 1}}, "there is no reviser"),
        (SETTINGS, {"engine_args": {"gpu_memory_utilization": 1.5}}, "above 0 and at most 1"),
        (SETTINGS, {"engine_args": {"gpu_memory_utilization": "all"}}, "above 0 and at most 1"),
        (SETTINGS, {"verifier_args": {"tensor_parallel_size": 0.5}}, "tensor_parallel_size: 0.5"),
        (SETTINGS, {"engine_args": {"tensor_parallel_size": 0}}, "tensor_parallel_size: 0"),
        (SETTINGS, {"verifier_args": {"device_ids": 1}}, "must be a list of at least 1"),
        (SETTINGS, {"engine_args": {"kv_cache_memory_bytes": -1}}, "kv_cache_memory_bytes: -1"),
        (
            SETTINGS,
            {"engine_args": {"tensor_parallel_size": 2, "device_ids": [3]}},
            "list of at least 2",
        ),
    ],
)
def test_arguments_are_refused_before_anything_is_loaded(
    settings: Settings, given: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        opened(settings.with_args(given))


@pytest.mark.usefixtures("unloaded")
def test_a_reviser_that_shares_an_engine_has_no_arguments() -> None:
    shared = SETTINGS.model_copy(update={"reviser": str(BASE), "reviser_args": {"seed": 1}})
    with pytest.raises(InputError, match="shares its engine; leave them out"):
        opened(shared)


def test_arguments_that_change_results_are_not_for_transformers() -> None:
    machine = {"tensor_parallel_size": 2, "kv_cache_dtype": "auto"}
    check_unchanged("engine_args", machine)
    settings = SETTINGS.with_args({"engine_args": machine | {"quantization": "fp8"}})
    with pytest.raises(InputError, match=r"quantization: 'fp8': .*only vLLM has it"):
        opened(settings, "transformers")


@pytest.mark.parametrize("engine", ["transformers", "http://127.0.0.1:1"])
def test_a_caller_gives_arguments_to_vllm_alone(engine: str) -> None:
    with pytest.raises(InputError, match=f"engine_args: .*and this is {engine}"):
        given_args({"seed": 1}, engine=engine)
    with pytest.raises(InputError, match=f"reviser_args: .*and this is {engine}"):
        given_args(None, None, {"seed": 1}, engine=engine)
    assert given_args({}, {"seed": 1}, engine=engine) == {"verifier_args": {"seed": 1}}


def test_a_verifier_that_vllm_does_not_serve_takes_its_gpu_alone(tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"verifier_args: {'seed': 1}: vLLM does not serve likeli"):
        open_verifier(PRM, tokenizer, args={"seed": 1, "device_ids": [1]})
    verifier = open_verifier(PRM, tokenizer, args={"device_ids": [0]})
    assert verifier.resources.startswith("transformers on c")
    verifier.close()


@pytest.mark.parametrize("text", ["", "{", "[1]", "2", '"a"', "null", "[" * 100_000])
def test_arguments_are_a_json_object(text: str) -> None:
    with pytest.raises(InputError, match=r"engine_args: .*must be a JSON object, such as"):
        read_args("engine_args", text)
    assert read_args("engine_args", '{"seed": 1}') == {"seed": 1}


def test_what_changes_results_is_in_the_fingerprint() -> None:
    plain = SETTINGS.fingerprint(Path())
    machine = {"tensor_parallel_size": 2, "gpu_memory_utilization": 0.5, "device_ids": [1]}
    args = {"engine_args": machine, "verifier_args": machine | {"quantization": None}}
    assert SETTINGS.with_args(args).fingerprint(Path()) == plain
    fp8 = {"quantization": "fp8", "kv_cache_dtype": "fp8"}
    found = SETTINGS.with_args({"engine_args": fp8}).fingerprint(Path())
    assert found.model == plain.model + ', kv_cache_dtype "fp8", quantization "fp8"'
    assert found.verifier == plain.verifier


def test_an_artifact_holds_arguments_and_is_checked_with_those_of_the_caller() -> None:
    artifact = Artifact.load(ARTIFACT)
    assert artifact.with_args({}) is artifact
    given = {"engine_args": {"max_model_len": 128}, "verifier_args": {"seed": 1}}
    settings = artifact.with_args(given).settings
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert (settings.args("model"), settings.args("reviser_verifier")) == (
        {"max_model_len": 128},
        {"seed": 1},
    )
    merged = settings.with_args({"engine_args": {"seed": 2}})
    assert merged.engine_args == {"max_model_len": 128, "seed": 2}
    changed = {"verifier_args": {"quantization": "fp8"}}
    with pytest.raises(InputError, match=r"artifact verifier: .*quantization"):
        artifact.with_args(changed)
    assert "quantization" in artifact.with_args(changed, force=True).foreign[0]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["solve", "explain", "bench", "serve"])
def test_commands_refuse_arguments_by_name(command: str) -> None:
    prompt = {"solve": ("--budget", 4, "1+2"), "explain": ("--budget", 4, "1+2")}.get(command, ())
    options = ("--artifact", ARTIFACT, *prompt, *(("prompts.jsonl",) if command == "bench" else ()))
    wrong = ("--verifier-args", '{"zzz": 1}')
    assert "zzz: 1: vLLM's engine has no such argument" in refused(command, *options, *wrong)
    elsewhere = ("--engine", "transformers", "--engine-args", '{"seed": 1}')
    assert "and this is transformers" in refused(command, *options, *elsewhere)


def llama(folder: Path, **config: Any) -> Path:
    """A checkpoint with 400 bytes of weights."""
    (folder / "config.json").write_text(json.dumps(LLAMA | config))
    save_file({"w": np.zeros(100, np.float32)}, folder / "model.safetensors")
    return folder


def test_what_a_model_needs_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    folder = llama(tmp_path, hidden_size=4096)
    weights = (folder / "model.safetensors").stat().st_size
    token = 2 * 32 * 8 * 128  # numbers: keys and values, layers, heads, width
    assert need_of(folder, {}) == Need((0,), weights, 2 * token)
    assert need_of(folder, {"dtype": "float32", "kv_cache_dtype": "auto"}).token == 4 * token
    assert need_of(folder, {"dtype": "float32", "kv_cache_dtype": "fp8"}).token == token
    split = need_of(folder, {"tensor_parallel_size": 2, "device_ids": [2, 5, 7]})
    assert split == Need((2, 5), weights // 2, token)
    replicas = need_of(folder, {"data_parallel_size": 2})
    assert replicas == Need((0, 1), weights, 2 * token)
    fixed = {"kv_cache_memory_bytes": 64, "gpu_memory_utilization": 0.5}
    assert need_of(folder, fixed) == Need((0,), weights, 2 * token, 64, 0.5)
    llama(tmp_path, hidden_size=4096, head_dim=64)
    assert need_of(folder, {}).token == token
    (folder / "config.json").write_text("{}")
    assert need_of(folder, {}).token is None


@pytest.mark.parametrize(
    ("args", "gpus"),
    [
        ([{}, {}], 1),
        ([{}, {"device_ids": [1]}], 2),
        ([{"tensor_parallel_size": 2}, {"device_ids": [2]}], 3),
        ([{}, {"tensor_parallel_size": 2}], 2),
        ([{"data_parallel_size": 2, "tensor_parallel_size": 2}], 4),
        ([{"device_ids": ["GPU-a"]}, {"device_ids": ["GPU-b"]}], 2),
    ],
)
def test_gpus_that_a_worker_needs(args: list[dict[str, Any]], gpus: int) -> None:
    assert visible_gpus(args) == gpus


def test_without_gpus_memory_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_has_gpus", lambda: False)
    shares = divide_memory({"model": BASE, "verifier": PRM}, {"model": {}, "verifier": {}})
    assert shares == {"model": {}, "verifier": {}}


def test_a_model_and_its_verifier_divide_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "_has_gpus", lambda: True)
    monkeypatch.setattr(gpus, "_physical", lambda device: device)
    monkeypatch.setattr(gpus, "gpu_memory", lambda number: Gpu(80 * 2**30, 80 * 2**30))
    shares = divide_memory({"model": BASE, "verifier": PRM}, {"model": {}, "verifier": {}})
    assert {name: [*share] for name, share in shares.items()} == {
        "model": ["gpu_memory_utilization"],
        "verifier": ["gpu_memory_utilization"],
    }
    divided = [share["gpu_memory_utilization"] for share in shares.values()]
    assert min(divided) > 0
    assert sum(divided) < 1
