"""What peers are run against: the testbed's model behind `vllm serve`, its PRM behind HTTP."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel

from benchmarks.serving.processes import free_port
from benchmarks.testbed.paths import BASE, PRM
from benchmarks.testbed.tokenizer import CHAT_TEMPLATE
from runtime.engines.base import Engine, encode_prompt
from runtime.verifiers.families import FAMILIES, recognise
from runtime.verifiers.in_transformers import TransformersBackend
from runtime.verifiers.layout import Layout

# Tokens: optillm asks for up to 256 where it rates, in the model's 256. Positions beyond those the
# model was trained on are only ever read there.
CONTEXT = 1024
TOKENS = "vllm:generation_tokens_total"


def served_copy(folder: Path) -> Path:
    """The base model as peers can use it: a longer context, and no word of system messages.

    optillm always sends a system message, if an empty one, for which the testbed has no token.
    """
    shutil.copytree(BASE, folder, dirs_exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": CONTEXT}, indent=1)
    )
    unheard = CHAT_TEMPLATE.replace(
        "in messages %}", "in messages if message['role'] != 'system' %}"
    )
    (folder / "chat_template.jinja").write_text(unheard)
    return folder


def sampled_tokens(url: str) -> int:
    """Tokens that a vLLM server has sampled so far, also for requests that were cut off."""
    return tokens_in(httpx.get(f"{url}/metrics").text)


def tokens_in(metrics: str) -> int:
    """Sampled tokens, from a vLLM server's metrics in Prometheus' text format."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == TOKENS
    )


class Texts(BaseModel):
    """Solutions of a prompt."""

    prompt: str
    solutions: list[str]


@asynccontextmanager
async def verifier_service(engine: Engine) -> AsyncIterator[str]:
    """The PRM, read at the end of texts, each from its start; yields the URL to post `Texts` to.

    Args:
        engine: whose tokens texts become.
    """
    family = FAMILIES[recognise(PRM)](engine.tokenizer, engine.tokenizer, PRM)
    backend = TransformersBackend(PRM, family, 0)
    app = FastAPI()

    @app.post("/score")
    async def score(texts: Texts) -> dict[str, list[float]]:
        prompt = tuple(encode_prompt(engine, texts.prompt))
        layouts = [
            Layout.at_end(prompt, tuple(engine.tokenizer.encode(text, add_special_tokens=False)))
            for text in texts.solutions
        ]
        read = await asyncio.gather(*(backend.read(layout) for layout in layouts))
        return {"scores": [value for (value,), _ in read]}

    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/score"
    finally:
        server.should_exit = True
        await serving
        backend.close()
