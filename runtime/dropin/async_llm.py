"""A drop-in for vLLM's `AsyncLLM` that spends each prompt's budget by its difficulty."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allocator.errors import InputError
from runtime.artifact import Artifact, artifact_folder
from runtime.dropin.loading import find_artifact, open_solver
from runtime.dropin.vllm_errors import vllm_errors
from runtime.dropin.vllm_params import params_for, refuse, vllm_options
from runtime.dropin.vllm_prompts import prompts_of
from runtime.engines.engine_args import NOT_CALIBRATED, EngineArgs, given_args
from runtime.frontend.budget import RequestedBudget, default_budget
from runtime.request import Event
from runtime.result import Result
from runtime.verifiers.loading import VerifierEngine

if TYPE_CHECKING:
    from vllm import SamplingParams

    from runtime.dropin.outputs import ComputeOptimalOutput


class AsyncComputeOptimalLLM:
    """vLLM's `AsyncLLM`, its `generate` and `abort`, under the policy of a calibrated artifact.

    Create it inside the event loop that will use it.

    Args:
        model: an artifact's folder; or a model, with its artifact given by `artifact` or the
            environment's TTC_ARTIFACT.
        artifact: the model's artifact, a folder or a name on the Hub, ``OWNER/NAME[@REVISION]``.
        budget: generations per prompt of a call without a budget; None uses the environment's
            TTC_BUDGET, else 16. A call that requests more solutions raises it to their number.
        seed: with the prompt, determines every sample if SamplingParams have no seed.
        trust_grader: name of an artifact on the Hub whose Python grader may be run.
        verifier_engine: as of `ComputeOptimalLLM`, like the arguments below.
        verifier_args: likewise.
        reviser_args: likewise.
        engine_args: further arguments of vLLM's engine.

    Raises:
        InputError: no artifact for the model, or an argument that cannot be used, by its name.
    """

    @vllm_errors()
    def __init__(
        self,
        model: str | Path,
        *,
        artifact: str | Path | None = None,
        budget: int | None = None,
        seed: int = 0,
        trust_grader: str = "",
        verifier_engine: VerifierEngine = "auto",
        verifier_args: EngineArgs | None = None,
        reviser_args: EngineArgs | None = None,
        **engine_args: Any,
    ) -> None:
        refuse(**{name: engine_args.pop(name, None) for name in NOT_CALIBRATED})
        given = given_args(engine_args, verifier_args, reviser_args, "vllm", verifier_engine)
        found = find_artifact(model, artifact, trust_grader).with_args(given)
        self._open(found, budget, seed, "vllm", verifier_engine)

    @classmethod
    @vllm_errors()
    def from_pretrained(cls, artifact: str | Path, **options: Any) -> "AsyncComputeOptimalLLM":
        """The model of an artifact, which may be a name on the Hub, ``OWNER/NAME[@REVISION]``.

        `options` are the constructor's, and so are the errors.
        """
        return cls(artifact_folder(artifact), **options)

    @classmethod
    @vllm_errors()
    def wrap(
        cls,
        engine: Any,
        artifact: str | Path | Artifact,
        *,
        budget: int | None = None,
        seed: int = 0,
        verifier_engine: VerifierEngine = "auto",
        verifier_args: EngineArgs | None = None,
        reviser_args: EngineArgs | None = None,
    ) -> "AsyncComputeOptimalLLM":
        """Use an engine that is open already. It stays open.

        Args:
            engine: an `AsyncLLM`, in its own event loop; a `vllm.LLM`, not to be used directly;
                or a `runtime.engines.base.Engine` of the artifact's model.
            artifact: the model's artifact, its folder, or its name on the Hub.
            budget: as the constructor's.
            seed: likewise.
            verifier_engine: likewise.
            verifier_args: likewise.
            reviser_args: likewise.

        Raises:
            InputError: an engine of another model.
        """
        found = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
        given = given_args(None, verifier_args, reviser_args, "vllm", verifier_engine)
        made, found = cls.__new__(cls), found.with_args(given)
        made._open(found, budget, seed, engine, verifier_engine)
        return made

    def _open(self, artifact: Artifact, budget: int | None, seed: int, *engines: Any) -> None:
        self.artifact, self.budget = artifact, default_budget(budget)
        with ExitStack() as stack:  # on an error, closes what was opened before it
            self._solver = open_solver(stack, artifact, seed, *engines)
            self._stack = stack.pop_all()
        self._work: dict[str, set[asyncio.Task[Result]]] = {}

    async def generate(
        self,
        prompt: Any,
        sampling_params: "SamplingParams | None",
        request_id: str,
        *,
        budget: int | None = None,
        deadline: float | None = None,
        budget_tokens: int | None = None,
        average_tokens: float | None = None,
        priority: int = 0,
        **others: Any,
    ) -> "AsyncGenerator[ComputeOptimalOutput, None]":
        """Answer a prompt, as vLLM's `AsyncLLM.generate`.

        Outputs that are not finished have an `event` and no text; the finished one has the
        answer. With output kind FINAL_ONLY there is only the finished one. If the caller stops
        iterating or is cancelled, the work in the engine ends, too.

        Args:
            prompt: a text, token ids, or a dictionary with one of them.
            sampling_params: None uses the calibrated settings.
            request_id: id of the request, for `abort`.
            budget: generations that the prompt may cost.
            deadline: seconds that it may take.
            budget_tokens: tokens that it may cost on average over prompts of its bin.
            average_tokens: tokens that prompts may cost on average, by more or deeper thought.
            priority: see `runtime.engines.token_options.TokenOptions`.
            others: vLLM's other arguments, which are refused.

        Raises:
            InputError: an argument that is not supported or cannot be used, by its name.
            ModelError: a model failed on the prompt.
        """
        from runtime.dropin.outputs import aborted, answered, underway

        models = self._solver.models
        tokenizer = models.engine.tokenizer
        with vllm_errors():
            refuse(**{name: value or None for name, value in others.items()})
            encoded = prompts_of(prompt, tokenizer)
            if len(encoded) != 1:
                raise InputError("prompt", prompt, "must be one prompt")
            (params,) = params_for(sampling_params, 1, priority)
            requested = RequestedBudget(
                budget=budget,
                deadline=deadline,
                budget_tokens=budget_tokens,
                average_tokens=average_tokens,
            )
            resolved = requested.resolve(self.budget, params.n)
            calibrated = self.artifact.settings.sampling
            options = vllm_options(
                params, calibrated, models, resolved.per_prompt, notes=resolved.notes
            )
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        on_event = events.put_nowait if params.shows_progress else None
        request = options.request.request(encoded[0], on_event)
        task = asyncio.create_task(self._solver.solve_within(request, resolved.spend))
        task.add_done_callback(lambda _: events.put_nowait(None))
        with self._abortable(request_id, task):
            try:
                while (event := await events.get()) is not None:
                    yield underway(request_id, encoded[0], event)
                if task.cancelled():
                    yield aborted(request_id, encoded[0])
                else:
                    with vllm_errors():
                        result = task.result()
                    yield answered(request_id, encoded[0], options, result, tokenizer)
            finally:
                await _cancel(task)

    @contextmanager
    def _abortable(self, request_id: str, task: "asyncio.Task[Result]") -> Iterator[None]:
        tasks = self._work.setdefault(request_id, set())
        tasks.add(task)
        try:
            yield
        finally:
            tasks.discard(task)
            if not tasks:
                self._work.pop(request_id, None)

    async def abort(self, request_id: str | Iterable[str]) -> None:
        """Abort requests; their last outputs have the finish reason ``abort``.

        Args:
            request_id: one id or several; unknown ids and those of finished requests are ignored.
        """
        names = [request_id] if isinstance(request_id, str) else request_id
        for task in [task for name in names for task in self._work.get(name, ())]:
            await _cancel(task)

    def get_tokenizer(self) -> Any:
        """The language model's tokenizer."""
        return self._solver.models.engine.tokenizer

    def shutdown(self) -> None:
        """Release the models. It may be called twice."""
        self._stack.close()

    async def __aenter__(self) -> "AsyncComputeOptimalLLM":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.shutdown()


async def _cancel(task: "asyncio.Task[Result]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
