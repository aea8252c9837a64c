"""Constraints over HTTP: what `vllm serve` is given, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.testbed.paths import BASE, SETTINGS
from runtime.engines.base import Completion, encode_prompt
from runtime.engines.constraint import Constraint, ConstraintError, HasConstraints, check_constraint
from runtime.engines.openai import OpenAIEngine
from runtime.models import Models
from tests.support.serving import asked, chat, service_of

# The testbed's vocabulary has digits, and no letters.
NUMBER = Constraint.of("response_format", {"json": {"type": "integer"}})
WRONG = Constraint.of("response_format", {"json": {"type": "x"}})
FORMAT = {"type": "json_schema", "json_schema": {"name": "number"}}


def test_a_server_holds_to_what_the_engine_in_process_holds_to(
    run: Any, server: str, vllm_models: Models
) -> None:
    async def both() -> list[tuple[Completion, Completion]]:
        engine = OpenAIEngine([server], BASE)
        check_constraint(engine, NUMBER)
        found = []
        for seed in range(4):
            fields: dict[str, Any] = {"settings": SETTINGS.sampling, "max_tokens": 20, "seed": seed}
            ids, held = encode_prompt(engine, "12+7*3"), {"constraint": NUMBER}
            remote = await engine.complete(ids, **fields, **held)
            local = await vllm_models.engine.complete(ids, **fields, **held)
            found.append((remote, local))
        engine.close()
        return found

    found = run(both())
    texts = [vllm_models.engine.tokenizer.decode(remote.token_ids) for remote, _ in found]
    assert [int(text.removesuffix("<end>")) for text in texts]
    assert [remote.token_ids for remote, _ in found] == [local.token_ids for _, local in found]
    assert isinstance(vllm_models.engine, HasConstraints)


def test_what_a_server_refuses_is_the_callers_fault(run: Any, server: str) -> None:
    async def refused() -> None:
        engine = OpenAIEngine([server], BASE)
        try:
            ids = encode_prompt(engine, "12+7*3")
            await engine.complete(
                ids, settings=SETTINGS.sampling, max_tokens=20, seed=0, constraint=WRONG
            )
        finally:
            engine.close()

    with pytest.raises(ConstraintError, match=r"response_format: .*refused the request \(400\)"):
        run(refused())


def test_ttc_serve_in_front_of_it_hands_the_fields_on(
    run: Any, server: str, vllm_models: Models
) -> None:
    async def replies() -> list[Any]:
        engine = OpenAIEngine([server], BASE)
        service = service_of(replace(vllm_models, engine=engine), default_budget=8)
        found = []
        for schema in ({"type": "integer"}, {"type": "x"}):
            form = FORMAT | {"json_schema": {"name": "number", "schema": schema}}
            found.append(await asked(service, chat("12+7*3", response_format=form, n=4)))
        streamed = chat("12+7*3", response_format=form, stream=True)
        found.append(await asked(service, streamed))
        engine.close()
        return found

    answered, refused, streamed = run(replies())
    body = answered.json()
    assert len(body["choices"]) == 4, body
    for choice in body["choices"]:
        assert choice["message"]["content"] == choice["ttc"]["answer"]
        int(choice["message"]["content"])
    assert body["ttc"]["receipt"]["plan"]["strategy"] == "best_of_n"
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "response_format"
    assert "invalid_request_error" in streamed.text
