"""Another artifact for a server that runs: taken, tried on a share of the requests, or refused."""

import asyncio
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.rewriting.paths import ARTIFACT as REWRITING
from benchmarks.serving.processes import ttc_serve
from benchmarks.traffic.replacing import artifact_at, expected, replaced_under_load, rewrite
from runtime.artifact import SETTINGS, TABLE
from tests.support.cli import invoke
from tests.support.serving import PROMPTS, Api, Apis, chat, logged
from tests.support.waiting import eventually, eventually_in_loop

pytestmark = pytest.mark.slow
BUDGET = 8
# Without them 4 is the next smaller budget; as 8, it takes no pilots, which would call prompts
# asked again drift.
WITHOUT = (6, 8)


def reloaded(api: Api, key: str = "", **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{api.url}/v1/reload", json=body, headers=headers, timeout=60)


def served(api: Api) -> Any:
    return httpx.get(f"{api.url}/v1/artifacts").json()


def asked(api: Api, prompt: str) -> Any:
    return httpx.post(
        f"{api.url}/v1/chat/completions", json=chat(prompt, ttc={"budget": BUDGET}), timeout=60
    ).json()


def samples(answer: Any) -> int:
    plan: int = answer["ttc"]["receipt"]["plan"]["n"]
    return plan


def test_requests_in_flight_finish_by_the_artifact_they_began_with(
    apis: Apis, tmp_path: Path
) -> None:
    other = artifact_at(tmp_path / "other", WITHOUT)
    body = {"model": "base", "prompt": PROMPTS[:24], "ttc": {"budget": BUDGET}}

    async def replaced(api: Api) -> Any:
        async with httpx.AsyncClient(base_url=api.url, timeout=60) as client:
            answer = asyncio.create_task(client.post("/v1/completions", json=body))
            await eventually_in_loop(lambda: api.engine.running)
            reply = await client.post("/v1/reload", json={"artifact": str(other)})
            assert (reply.status_code, answer.done()) == (200, False)
            return (await answer).json()

    with apis.listening() as api:
        begun = asyncio.run(replaced(api))
        after = asked(api, PROMPTS[0])
        assert {r["plan"]["n"] for r in begun["ttc"]["receipts"]} == {8}
        assert len(begun["choices"]) == 24
        assert samples(after) == 4
        names = [model["id"] for model in httpx.get(f"{api.url}/v1/models").json()["data"]]
    assert "base-ttc-12" in names
    assert "base-ttc-8" not in names


def damaged(folder: Path) -> str:
    (folder / TABLE).write_text((folder / TABLE).read_text()[:1000])
    return "damaged"


def damaged_predictor(folder: Path) -> str:
    (folder / "difficulty-2.txt").write_text("tree\nversion=v4\nnum_class=")
    return "difficulty-2"


def clearly_worse(folder: Path) -> str:
    rewrite(folder / TABLE, lambda table: table | {"rows": table["rows"][:1]})
    return "clearly worse than"


def sampled_otherwise(folder: Path) -> str:
    cold = {"temperature": 0.5}
    rewrite(folder / SETTINGS, lambda s: s | {"sampling": s["sampling"] | cold})

    def with_sampling(table: Any) -> Any:
        fingerprint = table["fingerprint"]
        changed = {"sampling": fingerprint["sampling"] | cold}
        return table | {"fingerprint": fingerprint | changed}

    rewrite(folder / TABLE, with_sampling)
    return "a reload changes the policy alone"


def of_other_models(folder: Path) -> str:
    shutil.rmtree(folder)
    folder.symlink_to(REWRITING.resolve())
    return "its model is"


def gone(folder: Path) -> str:
    folder.rename(folder.with_name("moved"))
    return "it has no settings.json"


@pytest.mark.parametrize(
    "harm", [damaged, damaged_predictor, clearly_worse, sampled_otherwise, of_other_models, gone]
)
def test_a_bad_artifact_is_refused_and_the_old_one_serves_on(
    apis: Apis, tmp_path: Path, harm: Any
) -> None:
    folder = artifact_at(tmp_path / "bad")
    says = harm(folder)
    with apis.listening() as api:
        before = served(api)["current"]["artifact"]
        reply = reloaded(api, artifact=str(folder), share=0.5)
        assert reply.status_code == 400
        error = reply.json()["error"]
        assert says in error["message"]
        assert samples(asked(api, PROMPTS[0])) == 8
        after = served(api)
    assert (after["current"]["artifact"], after["trial"]) == (before, None)
    (refusal,) = [line for line in logged(api.log) if line["event"] == "reload_refused"]
    assert says in refusal["why"]


def test_a_share_is_tried_reported_and_takes_over(apis: Apis, tmp_path: Path) -> None:
    other = artifact_at(tmp_path / "other", WITHOUT)
    with apis.listening() as api:
        found = reloaded(api, artifact=str(other), share=0.5).json()
        labels = [found[name]["artifact"] for name in ("current", "trial")]
        by = dict(zip((8, 4), labels, strict=True))
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(partial(asked, api), PROMPTS[:40]))
        counts = Counter(by[samples(answer)] for answer in answers)
        assert min(counts.values()) >= 8  # of 20 expected; fewer in 1 of 10,000
        for answer in answers:  # the other is always wrong
            said = {"request_id": answer["id"], "correct": samples(answer) == 8}
            assert httpx.post(f"{api.url}/v1/feedback", json=said).status_code == 200
        now = served(api)
        assert (now["share"], now["trial"]["accuracy"], now["current"]["accuracy"]) == (0.5, 0, 1)
        assert now["trial"]["prompts"] == counts[by[4]]
        metrics = {
            (sample.name, sample.labels.get("artifact")): sample.value
            for family in text_string_to_metric_families(httpx.get(f"{api.url}/metrics").text)
            for sample in family.samples
        }
        for label in labels:
            assert metrics["ttc_artifact_prompts_total", label] == counts[label]
        assert metrics["ttc_artifact_wrong_total", by[4]] == counts[by[4]]
        # The command lets it take over, with its counts.
        status, shown, _ = invoke("reload", other, "--url", api.url)
        assert status == 0
        assert by[4] in shown
        now = served(api)
        assert (now["current"]["artifact"], now["trial"]) == (by[4], None)
        assert now["current"]["prompts"] == counts[by[4]]
        # A trial of the first one ends without it.
        assert invoke("reload", "--url", api.url, "--share", "0.5")[0] == 0
        assert served(api)["trial"]["artifact"] == by[8]
        assert invoke("reload", "--url", api.url, "--share", "0")[0] == 0
        assert served(api)["trial"] is None
        status, _, message = invoke("reload", tmp_path / "none", "--url", api.url)
        assert (status, served(api)["current"]["artifact"]) == (2, by[4])
        assert "it has no settings.json" in " ".join(message.split())
    status, _, message = invoke("reload", "--url", api.url)
    assert status == 1
    assert "cannot be used" in message


def test_only_an_admin_key_changes_the_artifact(apis: Apis) -> None:
    with apis.listening(api_keys=["sk-client"], admin_keys=["sk-admin"]) as api:
        assert reloaded(api).status_code == 401
        refusal = reloaded(api, "sk-client")
        assert (refusal.status_code, refusal.json()["error"]["type"]) == (403, "permission_error")
        assert reloaded(api, "sk-admin").status_code == 200
        assert invoke("reload", "--url", api.url, "--admin-key", "sk-admin")[0] == 0
        client = openai.OpenAI(base_url=f"{api.url}/v1", api_key="sk-admin")
        assert client.models.list().data[0].id == "base"
    with apis.listening(api_keys=["sk-client"]) as api:
        assert reloaded(api, "sk-client").status_code == 403


def test_a_body_that_is_none_is_refused(apis: Apis) -> None:
    with apis.listening() as api:
        for body in ({"share": 2}, {"share": 0, "artifact": "x"}, {"artifact": ""}, {"force": 1}):
            assert reloaded(api, **body).status_code == 400


def test_under_load_the_artifact_is_replaced_twice_and_nothing_is_lost_or_crossed(
    apis: Apis, tmp_path: Path
) -> None:
    prompts, other = PROMPTS[:12], artifact_at(tmp_path / "other", WITHOUT)
    back = artifact_at(tmp_path / "back")
    with apis.listening() as api:
        known = asyncio.run(expected(api.url, "base", prompts, [BUDGET], [other]))
    with apis.listening() as api:
        load = asyncio.run(
            replaced_under_load(api.url, "base", prompts, [BUDGET], [other, back], 6.0)
        )
        assert served(api)["current"]["artifact"].startswith("back-")
    assert load.answered > 64
    assert not load.errors
    assert (load.lost, load.duplicated, load.unlike(known)) == (0, 0, 0)


def test_sighup_reads_the_artifact_again_unless_it_is_broken(tmp_path: Path) -> None:
    folder, log = artifact_at(tmp_path / "served"), tmp_path / "log"
    table = (folder / TABLE).read_text()

    def logged(event: str) -> bool:
        return f'"event": "{event}"' in log.read_text()

    with ttc_serve("transformers", log, artifact=str(folder)) as serving:

        def plan() -> int:
            body = chat(PROMPTS[0], ttc={"budget": BUDGET})
            return samples(
                httpx.post(f"{serving.url}/v1/chat/completions", json=body, timeout=60).json()
            )

        (folder / TABLE).write_text(table[:1000])
        serving.process.send_signal(signal.SIGHUP)
        eventually(lambda: logged("reload_refused"))
        assert plan() == 8
        (folder / TABLE).write_text(table)
        rewrite(
            folder / TABLE,
            lambda found: (
                found | {"rows": [r for r in found["rows"] if r["budget"] not in WITHOUT]}
            ),
        )
        serving.process.send_signal(signal.SIGHUP)
        eventually(lambda: logged("reloaded"))
        assert plan() == 4
