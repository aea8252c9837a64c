"""Peers at work: their processes, what they are served with, and how they are compared."""

import asyncio
import json
import sys
from pathlib import Path

import httpx
import pytest
from transformers import AutoTokenizer

from benchmarks.peers.contenders import ACROSS, METHODS, OPTIMAL, OURS, Contender, job_of
from benchmarks.peers.environments import Environment, NotInstalledError, interpreter
from benchmarks.peers.measure import Turn, rows_of, targets_of
from benchmarks.peers.services import CONTEXT, served_copy, tokens_in, verifier_service
from benchmarks.peers.worker import FailedError, Reply, started
from benchmarks.testbed.paths import BASE, PRM
from runtime.engines.base import encode_prompt
from runtime.engines.loading import open_engine
from runtime.verifiers.base import Context
from runtime.verifiers.loading import open_verifier

WORKER = """
import json, sys
for line in sys.stdin:
    job = json.loads(line)
    if job["method"] == "die":
        sys.exit(3)
    if job["method"] == "fail":
        print(json.dumps({"error": "no such method"}), flush=True)
        continue
    reply = {"seconds": 1.5, "texts": job["prompts"], "generations": [job["budget"]]}
    print(json.dumps(reply), flush=True)
"""


def test_a_worker_replies_fails_and_dies(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    async def run() -> None:
        async with started(Path(sys.executable), script, tmp_path / "log") as worker:
            assert await worker.ask(job_of("echo", ["1+1"], 4)) == Reply(1.5, ["1+1"], [4])
            with pytest.raises(FailedError, match="no such method"):
                await worker.ask(job_of("fail", [], 4))
            assert await worker.ask(job_of("echo", ["2"], 1)) == Reply(1.5, ["2"], [1])
            with pytest.raises(FailedError, match="ended with status 3"):
                await worker.ask(job_of("die", [], 4))

    asyncio.run(run())


def test_what_pip_cannot_install_is_told(tmp_path: Path) -> None:
    missing = Environment("nowhere", (str(tmp_path / "no-such-package"),), "worker.py")
    with pytest.raises(NotInstalledError, match="no-such-package"):
        interpreter(missing, tmp_path)


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    known = Environment("known", ("a==1", "b==2"), "worker.py")
    home = tmp_path / "known"
    home.mkdir()
    (home / "installed").write_text("a==1\nb==2")
    assert interpreter(known, tmp_path) == home / "bin" / "python"
    assert sorted(path.name for path in home.iterdir()) == ["installed"]


def test_the_served_copy_has_room_and_hears_no_system_message(tmp_path: Path) -> None:
    folder = served_copy(tmp_path / "served")
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == CONTEXT
    chat = [{"role": "user", "content": "1+1"}]
    told = [{"role": "system", "content": "Rate this"}, *chat]
    own, served = (AutoTokenizer.from_pretrained(path) for path in (BASE, folder))
    asked = [
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        for tokenizer, messages in ((own, chat), (served, chat), (served, told))
    ]
    assert asked == ["<user>1+1<assistant>"] * 3


@pytest.mark.slow
def test_the_verifier_service_reads_as_our_own_verifier() -> None:
    solution = "12+7=19\n#19"

    async def run() -> tuple[list[float], float]:
        with open_engine(BASE, "transformers") as engine:
            async with verifier_service(engine) as url, httpx.AsyncClient() as client:
                body = {"prompt": "12+7", "solutions": [solution, "12+7=20\n#20"]}
                reply = await client.post(url, json=body)
            verifier = open_verifier(PRM, engine.tokenizer, "auto", "transformers")
            prompt = Context("12+7", tuple(encode_prompt(engine, "12+7")))
            ids = tuple(engine.tokenizer.encode(solution, add_special_tokens=False))
            verdict = await verifier.score(prompt, [ids])
            verifier.close()
        return reply.json()["scores"], verdict.step_scores[-1]

    scores, own = asyncio.run(run())
    assert len(scores) == 2
    assert scores[0] == pytest.approx(own, abs=1e-4)
    assert scores[0] != scores[1]


def test_sampled_tokens_are_read_from_the_metrics() -> None:
    text = (
        "# TYPE vllm:generation_tokens_total counter\n"
        'vllm:generation_tokens_total{engine="0"} 120.0\n'
        'vllm:generation_tokens_total{engine="1"} 3.0\n'
        "# TYPE vllm:prompt_tokens_total counter\n"
        'vllm:prompt_tokens_total{engine="0"} 9.0\n'
    )
    assert tokens_in(text) == 123


def test_contenders_are_compared_turn_by_turn() -> None:
    peer = Contender("peer", "voting", "self-consistency")
    ours = {name: Contender(OURS, name, name) for name in (OPTIMAL, ACROSS, "self-consistency")}
    right, wrong = [True] * 10, [True] * 5 + [False] * 5
    turns = {
        (peer, 4): [Turn(wrong, [4] * 10, 2000, 3.0), Turn(wrong, [4] * 10, 2000, 6.0)],
        (ours[OPTIMAL], 4): [Turn(right, [3] * 10, 1500, 1.0)] * 2,
        (ours[ACROSS], 4): [Turn(wrong, [4] * 10, 1500, 1.0)] * 2,
        (ours["self-consistency"], 4): [Turn(wrong, [4] * 10, 2000, 1.5)] * 2,
    }
    first = rows_of(turns)[0]
    assert (first["library"], first["method"], first["budget"]) == ("peer", "voting", 4)
    assert first["accuracy"] == 0.5
    assert (first["generations"], first["tokens"], first["seconds"]) == (4, 200, 4.5)
    above, level, times = targets_of(turns)
    assert (above.value, above.met) == (0.5, True)
    assert (level.value, level.low, level.high, level.met) == (0, 0, 0, True)
    assert (times.value, times.met) == (3, True)  # turns of 2 and 4 times ours
    assert (times.low, times.high) == (2, 4)


def test_every_peer_has_a_method_of_ours_to_be_timed_against() -> None:
    own = {contender.method for contender in METHODS if contender.library == OURS}
    assert {OPTIMAL, ACROSS} < own
    assert {contender.like for contender in METHODS} <= own
