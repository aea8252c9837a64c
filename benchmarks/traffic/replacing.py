"""Artifacts replaced under load, with real clients."""

import asyncio
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.serving.load import Load, loaded
from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import SETTINGS, TABLE, load_settings

MAX_TOKENS = 160


def artifact_at(folder: Path, without: Collection[int] = ()) -> Path:
    """The testbed's artifact without some of its budgets, in a folder of its own.

    Where a budget is missing, what the next smaller one buys is bought.
    """
    shutil.copytree(ARTIFACT, folder)
    settings = load_settings(ARTIFACT).with_absolute_paths(ARTIFACT)
    settings.save(folder / SETTINGS)
    if without:
        rewrite(
            folder / TABLE,
            lambda table: (
                table | {"rows": [row for row in table["rows"] if row["budget"] not in without]}
            ),
        )
    return folder


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite a file of JSON."""
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


async def put(url: str, artifact: Path) -> None:
    """Put an artifact into service.

    Raises:
        RuntimeError: it is refused.
    """
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        reply = await client.post("/v1/reload", json={"artifact": str(artifact)})
        if reply.status_code != 200:
            raise RuntimeError(f"{artifact} is refused: {reply.text}")


async def replaced_under_load(
    url: str,
    model: str,
    prompts: Sequence[str],
    budgets: Sequence[int],
    artifacts: Sequence[Path],
    seconds: float,
    watch: Callable[[], None] = lambda: None,
) -> Load:
    """A load during which artifacts replace one another, at equal distances.

    Args:
        url: the server.
        model: its name there.
        prompts, budgets, seconds, watch: as `benchmarks.serving.load.loaded` has them.
        artifacts: the artifacts, in their order.
    """

    async def replace() -> None:
        for artifact in artifacts:
            await asyncio.sleep(seconds / (len(artifacts) + 1))
            await put(url, artifact)

    load, _ = await asyncio.gather(
        loaded(url, model, prompts, budgets, MAX_TOKENS, seconds, watch=watch), replace()
    )
    return load


async def expected(
    url: str,
    model: str,
    prompts: Sequence[str],
    budgets: Sequence[int],
    artifacts: Sequence[Path],
) -> Load:
    """All answers that each prompt can get by the server's artifact and by others, in turn.

    Every prompt is asked twice before: a server that records answers it otherwise once.
    """
    found = await loaded(url, model, prompts, budgets, MAX_TOKENS, clients=8)
    for artifact in (None, *artifacts):
        if artifact is not None:
            await put(url, artifact)
        again = await loaded(url, model, prompts, budgets, MAX_TOKENS, clients=8)
        for asked, texts in again.texts.items():
            found.texts[asked] += texts
    return found
