"""vLLM used as people use it; prints what it got, as JSON. See tests/runtime/dropin/test_dropin.py.

usage: uses_vllm.py MODEL
"""

import json
import sys
from typing import Any

from vllm import LLM, SamplingParams

PROMPTS = ["<user>12+7*3<assistant>", "<user>4*5+6<assistant>", "<user>9*9-1<assistant>"]


def use(llm: Any) -> Any:
    params = SamplingParams(temperature=0.8, top_p=0.95, max_tokens=120, seed=7)
    pairs = SamplingParams(n=2, max_tokens=120, seed=8)
    greedy = SamplingParams(temperature=0, max_tokens=120)
    lines = SamplingParams(temperature=0, max_tokens=120, stop=["\n", "!"])
    short = SamplingParams(max_tokens=2, seed=9)
    ids = llm.get_tokenizer().encode(PROMPTS[0])
    conversation = [{"role": "user", "content": "12+7*3"}]
    found = {
        "many": llm.generate(PROMPTS, params, use_tqdm=False),
        "again": llm.generate(PROMPTS, params, use_tqdm=False),
        "pairs": llm.generate(PROMPTS, pairs),
        "greedy": llm.generate(PROMPTS[0], sampling_params=greedy, use_tqdm=False),
        "ids": llm.generate({"prompt_token_ids": ids}, greedy, use_tqdm=False),
        "lists": llm.generate([ids, ids], [greedy, lines], use_tqdm=False),
        "text": llm.generate([{"prompt": PROMPTS[0]}], lines, use_tqdm=False),
        "short": llm.generate(PROMPTS, short, use_tqdm=False),
        "chat": llm.chat(conversation, greedy, use_tqdm=False),
        "chats": llm.chat([conversation, conversation], greedy, False),
        "none": llm.generate([], params, use_tqdm=False),
        "default": llm.generate(PROMPTS, use_tqdm=False),
    }
    return {name: [tell(output) for output in outputs] for name, outputs in found.items()}


def tell(output: Any) -> Any:
    return {
        "kinds": [kind.__name__ for kind in type(output).__mro__],
        "request_id": output.request_id,
        "prompt": output.prompt,
        "prompt_token_ids": output.prompt_token_ids,
        "prompt_logprobs": output.prompt_logprobs,
        "finished": output.finished,
        "num_cached_tokens": output.num_cached_tokens,
        "metrics": output.metrics,
        "lora_request": output.lora_request,
        "outputs": [
            {
                "kind": type(completion).__name__,
                "index": completion.index,
                "text": completion.text,
                "token_ids": list(completion.token_ids),
                "cumulative_logprob": completion.cumulative_logprob,
                "logprobs": completion.logprobs,
                "finish_reason": completion.finish_reason,
                "stop_reason": completion.stop_reason,
                "finished": completion.finished(),
            }
            for completion in output.outputs
        ],
    }


if __name__ == "__main__":
    llm = LLM(
        model=sys.argv[1],
        dtype="float32",
        enforce_eager=True,
        block_size=32,
        enable_chunked_prefill=False,
    )
    print(json.dumps(use(llm)))
