"""Calls of tools in the syntaxes that vLLM's tool parsers read, which are those of most models.

A parser has the state of one text. Each text gets its own, as each choice does in vLLM's server.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from allocator.errors import InputError
from runtime.frontend.tool_fields import Function, Tool, ToolRequest

FIELDS = ("json", "structural_tag")  # of `StructuredOutputsParams`, by which vLLM constrains calls
TRIAL = ToolRequest((Tool(type="function", function=Function(name="trial")),))


@lru_cache(maxsize=8)
def vllm_syntax(name: str, tokenizer: Any) -> "VLLMSyntax":
    """The one syntax of a tool parser and a tokenizer; see `VLLMSyntax`."""
    return VLLMSyntax(name, tokenizer)


class VLLMSyntax:
    """How a model writes calls that one of vLLM's tool parsers reads; makes readers of them.

    Args:
        name: the parser's.
        tokenizer: the language model's.

    Raises:
        InputError: the parser does not fit the tokenizer, or reads no texts.
    """

    def __init__(self, name: str, tokenizer: Any) -> None:
        from vllm.parser import ParserManager
        from vllm.tokenizers.hf import get_cached_tokenizer

        self.name = name
        try:
            # Every parser looks into the vocabulary, which is otherwise made anew each time.
            self._tokenizer = get_cached_tokenizer(tokenizer)
            # By default vLLM pins the arguments of strict tools alone, even of calls that must be.
            self._parser = ParserManager.get_parser(
                name,
                enable_auto_tools=True,
                tool_strict_level="parameter",
                tokenizer=self._tokenizer,
            )
            self(TRIAL).read("")
        except Exception as error:  # parsers raise errors of every kind
            hint = f"vLLM's parser cannot be used with this model: {error.__cause__ or error}"
            raise InputError("tool_parser", name, hint) from error

    def __call__(self, request: ToolRequest) -> "VLLMCalls":
        return VLLMCalls(self, request)

    def parser(self, tools: Any) -> Any:
        """A parser for one text.

        Args:
            tools: the request's, as vLLM's `ChatCompletionRequest` has them.
        """
        return self._parser(self._tokenizer, tools)


class VLLMCalls:
    """Calls of one request's tools, as vLLM's server reads and constrains them.

    Args:
        syntax: how the model writes them.
        request: the tools.

    Attributes:
        special_tokens: see `runtime.frontend.call_syntax.CallReader`.

    Raises:
        InputError: tools that vLLM refuses.
    """

    def __init__(self, syntax: VLLMSyntax, request: ToolRequest) -> None:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

        choice = request.choice
        try:
            made = ChatCompletionRequest(
                messages=[],
                tools=[tool.model_dump(exclude_none=True) for tool in request.tools],
                tool_choice=choice if isinstance(choice, str) else choice.model_dump(),
                parallel_tool_calls=request.parallel,
            )
            # What the parser demands of the request's sampling is added to it.
            self._adjusted = syntax.parser(made.tools).adjust_request(made)
        except Exception as error:  # parsers raise errors of every kind
            raise InputError("tools", request.names, f"vLLM refused them: {error}") from error
        self._syntax, self._request = syntax, request
        self.special_tokens = not self._adjusted.skip_special_tokens

    def read(self, text: str) -> tuple[str, list[Any]]:
        """See `CallReader.read`."""
        try:
            parser = self._syntax.parser(self._adjusted.tools)
            _, content, calls = parser.parse(text, self._adjusted, enable_auto_tools=True)
        except Exception as error:  # parsers raise errors of every kind
            raise ValueError(f"vLLM's parser {self._syntax.name} cannot read it") from error
        return content or "", [{"name": c.name, "arguments": c.arguments} for c in calls or ()]

    def held(self) -> Mapping[str, Any]:
        """See `CallReader.held`."""
        params = self._adjusted.structured_outputs
        found = {name: getattr(params, name, None) for name in FIELDS}
        fields = {name: value for name, value in found.items() if value is not None}
        if not fields:
            auto = self._request.choice == "auto"
            raise InputError(
                "tools" if auto else "tool_choice",
                self._request.names if auto else self._request.choice,
                f"vLLM does not hold calls to their schemas in the syntax {self._syntax.name}; "
                f"{'leave strict out' if auto else 'give auto'}",
            )
        return fields
