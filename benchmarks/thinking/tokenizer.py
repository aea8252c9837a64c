"""The thinking model's tokenizer: the testbed's, with the marks of a thought, as Qwen3 has them."""

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from benchmarks.testbed.task import CHARACTERS
from benchmarks.testbed.tokenizer import build_tokenizer
from benchmarks.thinking.task import END_THINK, NO_THOUGHT, THINK

# As Qwen3's: the thoughts of earlier turns are left out, the model itself begins its thought, and
# with enable_thinking=false an empty thought is written for it.
CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>"
    "{% if message['role'] == 'assistant' %}"
    "{{ message['content'].split('" + END_THINK + "')[-1].lstrip('\\n') }}<end>"
    "{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and enable_thinking is false %}"
    "{{ '" + NO_THOUGHT.replace("\n", "\\n") + "' }}{% endif %}{% endif %}"
)


def build() -> PreTrainedTokenizerFast:
    """The tokenizer. The testbed's ids are unchanged; the marks are kept when text is decoded."""
    tokenizer = build_tokenizer(CHARACTERS)
    tokenizer.add_tokens([AddedToken(mark, special=False) for mark in (THINK, END_THINK)])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
