"""A drop-in for vLLM's `LLM` that spends each prompt's budget by its difficulty.

from vllm import LLM, SamplingParams    # before
from ttc_allocator import LLM           # after, with TTC_ARTIFACT set
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.artifact import Artifact, artifact_folder
from runtime.dropin.background import SolverThread
from runtime.dropin.loading import check_loop, find_artifact, open_solver
from runtime.dropin.progress_bar import progress
from runtime.dropin.vllm_errors import vllm_errors
from runtime.dropin.vllm_params import params_for, params_of, refuse, vllm_options
from runtime.dropin.vllm_prompts import conversations_of, prompts_of, read_template, tools_of
from runtime.engines.engine_args import NOT_CALIBRATED, EngineArgs, given_args
from runtime.engines.vllm import VLLMCompletions
from runtime.frontend.answer_form import FREE_TEXT, AnswerForm, CallVote
from runtime.frontend.budget import RequestedBudget, default_budget
from runtime.frontend.conversation import template_notes, template_variables
from runtime.frontend.prompt_request import EncodedPrompt
from runtime.frontend.reasoning import template_thinking
from runtime.verifiers.loading import VerifierEngine

if TYPE_CHECKING:
    from vllm import SamplingParams

    from runtime.dropin.outputs import ComputeOptimalOutput


class ComputeOptimalLLM:
    """vLLM's `LLM`, its `generate` and `chat`, under the policy of a calibrated artifact.

    The models run in their own thread; an interrupt (Ctrl-C) ends the call, and they remain
    usable. Equal prompts with equal seeds have equal answers.

    Args:
        model: an artifact's folder; or a model, with its artifact given by `artifact` or the
            environment's TTC_ARTIFACT.
        artifact: the model's artifact, a folder or a name on the Hub, ``OWNER/NAME[@REVISION]``.
        budget: generations per prompt of a call without a budget; None uses the environment's
            TTC_BUDGET, else 16. A call that requests more solutions raises it to their number.
        seed: with the prompt, determines every sample if SamplingParams have no seed.
        chat_template: in place of the model's, as text or as a file.
        trust_grader: name of an artifact on the Hub whose Python grader may be run.
        verifier_engine: what runs the verifiers, such as URLs of `vllm serve`, comma-separated.
        verifier_args: arguments of the verifiers' vLLM engines, as ``{"device_ids": [1]}``; they
            replace the artifact's of the same names, here and below.
        reviser_args: arguments of the reviser's.
        engine_args: further arguments of vLLM's engine, for example ``tensor_parallel_size``.

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
        chat_template: str | Path | None = None,
        trust_grader: str = "",
        verifier_engine: VerifierEngine = "auto",
        verifier_args: EngineArgs | None = None,
        reviser_args: EngineArgs | None = None,
        **engine_args: Any,
    ) -> None:
        refuse(**{name: engine_args.pop(name, None) for name in NOT_CALIBRATED})
        given = given_args(engine_args, verifier_args, reviser_args, "vllm", verifier_engine)
        found = find_artifact(model, artifact, trust_grader).with_args(given)
        self._open(found, budget, seed, read_template(chat_template), "vllm", verifier_engine)

    @classmethod
    @vllm_errors()
    def from_pretrained(cls, artifact: str | Path, **options: Any) -> "ComputeOptimalLLM":
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
        chat_template: str | Path | None = None,
        verifier_engine: VerifierEngine = "auto",
        verifier_args: EngineArgs | None = None,
        reviser_args: EngineArgs | None = None,
    ) -> "ComputeOptimalLLM":
        """Use an engine that is open already. It stays open; do not use it directly meanwhile.

        A verifier on its GPU needs memory that the engine leaves free: open it with a smaller
        `gpu_memory_utilization` than vLLM's default.

        Args:
            engine: a `vllm.LLM`, or a `runtime.engines.base.Engine` of the artifact's model.
            artifact: the model's artifact, its folder, or its name on the Hub.
            budget: as the constructor's, like the arguments below.

        Raises:
            InputError: an engine of another model, or one that is bound to an event loop.
        """
        check_loop(engine)
        found = artifact if isinstance(artifact, Artifact) else Artifact.load(artifact)
        given = given_args(None, verifier_args, reviser_args, "vllm", verifier_engine)
        made, found = cls.__new__(cls), found.with_args(given)
        made._open(found, budget, seed, read_template(chat_template), engine, verifier_engine)
        return made

    def _open(
        self, artifact: Artifact, budget: int | None, seed: int, template: str | None, *engines: Any
    ) -> None:
        self.artifact, self.budget = artifact, default_budget(budget)
        self._chat_template = template
        self._thread = SolverThread(lambda stack: open_solver(stack, artifact, seed, *engines))
        self._request_ids = map(str, itertools.count())

    @vllm_errors()
    def generate(
        self,
        prompts: Any,
        sampling_params: "SamplingParams | Sequence[SamplingParams] | None" = None,
        *,
        use_tqdm: bool | Callable[..., Any] = True,
        lora_request: None = None,
        priority: int | Sequence[int] | None = None,
        tokenization_kwargs: None = None,
        mm_processor_kwargs: None = None,
        budget: int | None = None,
        total_budget: int | None = None,
        deadline: float | None = None,
        budget_tokens: int | None = None,
        average_tokens: float | None = None,
    ) -> "list[ComputeOptimalOutput]":
        """Answer prompts, as vLLM's `LLM.generate`: a text is encoded without a chat template.

        A text that begins with the tokenizer's BOS token, as rendered chat templates do, gets no
        second one; vLLM would add one.

        Args:
            prompts: one or many, in any sequence, array or series; each a text, token ids, or a
                dictionary with one of them.
            sampling_params: one for all, or one per prompt; None uses the calibrated settings. Of
                `n` outputs the first is the answer, the others are the best other answers. Of a
                model that has thoughts, `thinking_token_budget` caps them, whatever the plan says.
                Fields that are not supported are refused by name.
            use_tqdm: whether to show a progress bar, or a function that creates it.
            lora_request: refused, like `tokenization_kwargs` and `mm_processor_kwargs`.
            priority: one for all or one per prompt; see `TokenOptions`.
            budget: generations that each prompt may cost.
            total_budget: generations that all prompts together may cost, in place of `budget`.
            deadline: seconds that each prompt may take.
            budget_tokens: tokens that each prompt may cost on average over prompts of its bin.
            average_tokens: tokens that prompts may cost on average, by more or deeper thought.

        Raises:
            InputError: an argument that is not supported or cannot be used, by its name.
            UnansweredError: a model failed on some prompts; it has the outputs of the others.
        """
        refuse(
            lora_request=lora_request,
            tokenization_kwargs=tokenization_kwargs,
            mm_processor_kwargs=mm_processor_kwargs,
        )
        encoded = prompts_of(prompts, self.get_tokenizer())
        requested = RequestedBudget(budget, total_budget, deadline, budget_tokens, average_tokens)
        return self._answer(encoded, sampling_params, use_tqdm, requested, priority)

    @vllm_errors()
    def chat(
        self,
        messages: Any,
        sampling_params: "SamplingParams | Sequence[SamplingParams] | None" = None,
        use_tqdm: bool | Callable[..., Any] = True,
        lora_request: None = None,
        priority: int | Sequence[int] | None = None,
        chat_template: str | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Sequence[Mapping[str, Any]] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        tokenization_kwargs: None = None,
        mm_processor_kwargs: None = None,
        *,
        tool_parser: str = "auto",
        tool_vote: CallVote = "call",
        budget: int | None = None,
        total_budget: int | None = None,
        deadline: float | None = None,
        budget_tokens: int | None = None,
        average_tokens: float | None = None,
    ) -> "list[ComputeOptimalOutput]":
        """Answer conversations, as vLLM's `LLM.chat`.

        Args:
            messages: one conversation or many, each a list of messages with role and content; an
                assistant's message may be an object of a client library, or its `model_dump`.
            sampling_params: as of `generate`, like the arguments that are not listed here.
            chat_template: in place of the model's.
            chat_template_content_format: ``auto`` or ``string``; contents are passed as text.
            add_generation_prompt: whether the model's turn is begun.
            continue_final_message: refused: the verifier scores whole solutions.
            tools: shown by the template; solutions that make the same calls are equal.
            tool_parser, tool_vote: how calls are read and voted on, see `tools_of`.
            chat_template_kwargs: further variables of the template. `enable_thinking=False` and
                `reasoning_effort` hold where it does not read them, too.

        Raises:
            InputError, UnansweredError: as `generate`.
        """
        contents = chat_template_content_format
        refuse(
            lora_request=lora_request,
            chat_template_content_format=None if contents in ("auto", "string") else contents,
            continue_final_message=continue_final_message or None,
            tokenization_kwargs=tokenization_kwargs,
            mm_processor_kwargs=mm_processor_kwargs,
        )
        tokenizer = self.get_tokenizer()
        template = self._chat_template if chat_template is None else chat_template
        used = template or tokenizer.chat_template
        shown, form = tools_of(tools, used, tokenizer, tool_parser, tool_vote)
        given = template_variables(chat_template_kwargs, tokenizer)
        variables, thinking = template_thinking(used, given, self._thread.solver.models.thinks)
        shown = variables | shown
        encoded = conversations_of(messages, tokenizer, template, add_generation_prompt, shown)
        requested = RequestedBudget(budget, total_budget, deadline, budget_tokens, average_tokens)
        notes = template_notes(variables)
        return self._answer(
            encoded, sampling_params, use_tqdm, requested, priority, thinking, notes, form
        )

    def _answer(
        self,
        prompts: Sequence[EncodedPrompt],
        sampling_params: Any,
        use_tqdm: bool | Callable[..., Any],
        requested: RequestedBudget,
        priority: int | Sequence[int] | None,
        thinking: int | None = None,
        notes: Sequence[str] = (),
        form: AnswerForm = FREE_TEXT,
    ) -> "list[ComputeOptimalOutput]":
        from runtime.dropin.outputs import all_answered

        params = params_for(sampling_params, len(prompts), priority)
        if not prompts:
            return []
        solutions = max(each.n for each in params)
        resolved = requested.resolve(self.budget, solutions, len(prompts))
        models, calibrated = self._thread.solver.models, self.artifact.settings.sampling
        options = [
            vllm_options(
                each,
                calibrated,
                models,
                resolved.per_prompt,
                thinking,
                (*notes, *resolved.notes),
                form,
            )
            for each in params
        ]
        requests = [o.request.request(prompt) for o, prompt in zip(options, prompts, strict=True)]
        with progress(use_tqdm, len(prompts)) as done:
            results = self._thread.solve_all(requests, resolved.spend, done)
        request_ids = [next(self._request_ids) for _ in prompts]
        return all_answered(request_ids, prompts, options, results, models.engine.tokenizer)

    def get_tokenizer(self) -> Any:
        """The language model's tokenizer."""
        return self._thread.solver.models.engine.tokenizer

    @property
    def llm_engine(self) -> Any:
        """vLLM's engine, as its `LLM` has it; other tools read its `model_config`.

        Raises:
            AttributeError: the model does not run in vLLM.
        """
        engine = self._thread.solver.models.engine
        if not isinstance(engine, VLLMCompletions):
            raise AttributeError(f"llm_engine: {type(engine).__name__} is not an engine of vLLM")
        return engine.vllm

    def get_default_sampling_params(self) -> "SamplingParams":
        """The calibrated sampling settings, which a call without SamplingParams uses."""
        return params_of(self.artifact.settings.sampling)

    def close(self) -> None:
        """Release the models. It may be called twice; the interpreter's exit calls it, too."""
        self._thread.close()

    def __enter__(self) -> "ComputeOptimalLLM":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
