"""schemathesis against the real server: what its OpenAPI document allows, and what it forbids."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from benchmarks.testbed.paths import ARTIFACT
from runtime.artifact import Artifact
from runtime.server.app import create_app
from runtime.server.service import Service
from runtime.server.settings import ServeSettings
from tests.support.serving import Api, Apis, log_to

pytestmark = pytest.mark.slow

SETTINGS = ServeSettings(artifact=ARTIFACT)
DOCUMENT = create_app(SETTINGS, Service(SETTINGS, Artifact.load(ARTIFACT)), log_to()).openapi()
CONFIG = schemathesis.Config.from_dict(
    {
        "generation": {"max-examples": 30, "deterministic": True, "database": "none"},
        # Fields may be at odds with each other, or too long for the model: no schema knows.
        "checks": {"positive_data_acceptance": {"enabled": False}},
    }
)


def answerable(document: Any) -> Any:
    """The document, with what this server's settings allow: else hardly any body were answered."""
    schemas = document["components"]["schemas"]
    for name in ("ChatRequest", "CompletionRequest"):
        schemas[name]["properties"]["model"] = {"enum": ["base", "base-ttc-2"]}
    return document


schema = schemathesis.openapi.from_dict(answerable(DOCUMENT), config=CONFIG)


@pytest.fixture(scope="module")
def limited(apis: Apis) -> Iterator[Any]:
    """A server on which no example takes long."""
    with apis.listening(default_budget=1, max_budget=2, max_concurrent=4) as api:
        yield api
        assert answers_of(api) > 50


def answers_of(api: Api) -> Any:
    """Examples that were answered, of either kind."""
    counted = api.service.metrics.registry.get_sample_value
    paths = ("/v1/chat/completions", "/v1/completions")
    labels = [{"endpoint": path, "status": "200"} for path in paths]
    return sum(counted("ttc_http_requests_total", each) or 0 for each in labels)


@schema.parametrize()
def test_every_answer_is_as_the_document_says(case: Any, limited: Any) -> None:
    case.call_and_validate(base_url=limited.url)
