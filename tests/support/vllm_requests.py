"""What a vLLM engine is working on."""

from runtime.engines.vllm import VLLMEngine
from runtime.models import Models


def unfinished(models: Models) -> int:
    """Requests that the engine still works on."""
    assert isinstance(models.engine, VLLMEngine)
    return int(models.engine._core.engine.output_processor.get_num_unfinished_requests())
