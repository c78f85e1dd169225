"""One engine, every check of the worker side, one JSON file: run by ``test_vllm_speculation.py`` in its own process.

Both arms send the same requests to the same small engine in float32: the one with our proposer, the other without
speculation. The key-value cache and the prefill budget are small on purpose, so that a batch of eight is chunked and
preempted on the way.

    python vllm_worker_run.py {plain,proposer} OUT.json MODEL
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Conversation = list[dict[str, str]]

SPECULATION = {"method": "custom_class", "model": "latticework.adapters.vllm.Proposer", "num_speculative_tokens": 8}
MAX_MODEL_LEN = 512
SAMPLES = 160
SAMPLED_TOKENS = 4

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "country": {"enum": ["France", "Germany", "Spain"]},
        "capital": {"type": "boolean"},
    },
    "required": ["city", "country", "capital"],
    "additionalProperties": False,
}
LIST = "apple, banana, cherry, apple, banana, cherry, apple, banana, cherry, apple, banana, cherry"
#: (name, prompt, constraint, ``lw_*`` options)
MIXED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("plain_auto", "Write Python code of a class with five getters for a, b, c, d, e.", {}, {}),
    ("plain_lookup", f"Repeat this list exactly: {LIST}", {}, {"lw_drafter": "prompt_lookup"}),
    ("plain_off", "Write a short story about a dog.", {}, {"lw_drafter": "off"}),
    ("fsd", "Write a list of ten fruits, one a line.", {}, {"lw_processor": "fsd"}),
    (
        "regex",
        "Is the sky blue? Answer in one sentence.",
        {"regex": r"(Yes|No), the answer is (yes|no) and I am very sure about it\."},
        {"lw_drafter": "grammar"},
    ),
    ("choice", "Is this review good or bad? 'I loved it.'", {"choice": ["positive review", "negative review"]}, {}),
    ("json", "Give me the capital of France as JSON.", {"json": SCHEMA}, {}),
    (
        "regex_no_repeat",
        "Write twelve letters.",
        {"regex": r"([a-f] ){12}the end of all the letters"},
        {"lw_processor": "no_repeat"},
    ),
]
#: Digits and colons have one spelling in this tokenizer, so what is forced here is drafted and accepted, and each
#: letter is chosen in a row behind drafted tokens.
LETTERS = {"regex": r"([a-h]:76;){8}end"}
#: Greedy requests of their own: what must not change the output, and what must be isolated.
SINGLE: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("no_repeat", "Write a short story about a cat.", {}, {"lw_processor": "no_repeat"}),
    ("fsd_repetition", f"Repeat this list exactly: {LIST}", {}, {"lw_processor": "fsd"}),
    ("letters", "Write some letters.", LETTERS, {}),
    ("letters_no_repeat", "Write some letters.", LETTERS, {"lw_processor": "no_repeat"}),
    ("letters_fsd", "Write some letters.", LETTERS, {"lw_processor": "fsd"}),
    ("drafter_fails", f"Repeat this list exactly: {LIST}", {}, {"lw_drafter": "explode"}),
    ("processor_fails", f"Repeat this list exactly: {LIST}", {}, {"lw_processor": "explode"}),
    ("long_prompt", f"Continue this list: {', '.join([LIST] * 7)}", {}, {}),
    ("list_unprocessed", f"Repeat this list exactly: {LIST}", {}, {}),
    ("story_unprocessed", "Write a short story about a cat.", {}, {}),
]
#: One legal token after another; and one text whose natural spelling is the model's own.
FORCED: list[tuple[str, str, dict[str, Any]]] = [
    ("forced_regex", "Write a number.", {"regex": "[1-9]9876543210123456789[0-9]"}),
    (
        "forced_choice",
        "Which city is the capital of France?",
        {"choice": ["The capital of France is the city of Paris."]},
    ),
]
SAMPLED: list[tuple[str, str, dict[str, Any], float, float]] = [
    ("colors", "A list of colors: red, blue, red, green, red, blue, red,", {}, 0.7, 1.0),
    ("colors_top_p", "A list of colors: red, blue, red, green, red, blue, red,", {}, 1.0, 0.8),
    (
        "colors_grammar",
        "A list of colors: red, blue, red, blue, red,",
        {"regex": r"( (red|blue|green|yellow),){6}"},
        1.0,
        1.0,
    ),
]


def _params(constraint: dict[str, Any], options: dict[str, Any], **sampling: Any) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    return SamplingParams(
        structured_outputs=StructuredOutputsParams(**constraint) if constraint else None,
        extra_args=options or None,
        **sampling,
    )


class Run:
    """The engine of one arm, and what it answered."""

    def __init__(self, arm: str, model: str) -> None:
        from vllm import LLM
        from vllm.plugins import load_general_plugins

        # The offline class builds its configuration before it loads plugins; the server does it the other way round.
        load_general_plugins()
        speculation = {"speculative_config": SPECULATION} if arm == "proposer" else {}
        self.drafts = arm == "proposer"
        self.llm = LLM(
            model,
            dtype="float32",
            max_model_len=MAX_MODEL_LEN,
            max_num_seqs=16,
            max_num_batched_tokens=256,
            block_size=32,
            num_gpu_blocks_override=34,
            enforce_eager=True,
            seed=1 if arm == "plain" else 2,
            disable_log_stats=False,
            structured_outputs_config={"backend": "latticework"},
            worker_extension_cls="latticework_test_plugins.Inspect",
            **speculation,
        )
        self.results: dict[str, Any] = {"arm": arm}

    def params(self, constraint: dict[str, Any], options: dict[str, Any], **sampling: Any) -> Any:
        """Sampling parameters; a server that does not draft refuses to be told how."""
        given = {key: value for key, value in options.items() if self.drafts or not key.startswith("lw_drafter")}
        return _params(constraint, given, **sampling)

    def counters(self) -> dict[str, float]:
        """Counters of the worker and vLLM's own, in one flat mapping."""
        merged = dict(self.llm.collective_rpc("latticework_counters")[0])
        for metric in self.llm.get_metrics():
            if hasattr(metric, "value"):
                merged[metric.name] = merged.get(metric.name, 0.0) + metric.value
        return merged

    def chat(self, prompts: list[str], params: list[Any]) -> list[dict[str, Any]]:
        """Send all at once, and wait."""
        conversations: list[Conversation] = [[{"role": "user", "content": prompt}] for prompt in prompts]
        outputs = self.llm.chat(conversations, params, use_tqdm=False)
        return [
            {
                "tokens": list(output.outputs[0].token_ids),
                "text": output.outputs[0].text,
                "finish": output.outputs[0].finish_reason,
            }
            for output in outputs
        ]

    def greedy(self) -> None:
        """The mixed requests one by one, then as one batch; then those with a run of their own."""
        params = [self.params(c, o, temperature=0.0, max_tokens=72) for _, _, c, o in MIXED]
        prompts = [prompt for _, prompt, _, _ in MIXED]
        names = [name for name, _, _, _ in MIXED]
        alone = [self.chat([prompt], [param])[0] for prompt, param in zip(prompts, params, strict=True)]
        self.results["alone"] = dict(zip(names, alone, strict=True))
        self.results["batch"] = dict(zip(names, self.chat(prompts, params), strict=True))
        for name, prompt, constraint, options in SINGLE:
            before = self.counters()
            until_full = name == "long_prompt"
            length = {"max_tokens": MAX_MODEL_LEN if until_full else 72, "ignore_eos": until_full}
            answer = self.chat([prompt], [self.params(constraint, options, temperature=0.0, **length)])[0]
            self.results[name] = answer | {"counters": _difference(self.counters(), before)}

    def forced(self) -> None:
        """Grammars that leave almost no choice, with nothing but the grammar drafter."""
        for name, prompt, constraint in FORCED:
            params = self.params(constraint, {"lw_drafter": "grammar"}, temperature=0.0, max_tokens=64)
            self.chat([prompt], [params])  # the worker's copy of the grammar is compiled in the background
            before = self.counters()
            answer = self.chat([prompt], [params])[0]
            self.results[name] = answer | {"counters": _difference(self.counters(), before)}

    def pressure(self) -> None:
        """Eight long generations in a cache that cannot hold them: preemption and resumption."""
        before = self.counters()
        params = [self.params({}, {}, temperature=0.0, max_tokens=150, ignore_eos=True) for _ in range(8)]
        prompts = [f"Repeat this list {count} times: {LIST}" for count in range(2, 10)]
        answers = self.chat(prompts, params)
        self.results["pressure"] = {"answers": answers, "counters": _difference(self.counters(), before)}

    def abort(self) -> None:
        """Requests dropped in the middle; ``open_sessions`` is read after a later request has flushed the runner."""
        engine = self.llm.llm_engine
        for index, (_, prompt, constraint, options) in enumerate(MIXED):
            params = self.params(constraint, options, temperature=0.0, max_tokens=400)
            engine.add_request(f"abort-{index}", prompt, params)
        for _ in range(4):
            engine.step()
        engine.abort_request([f"abort-{index}" for index in range(len(MIXED))])
        while engine.has_unfinished_requests():
            engine.step()
        after = self.chat(["Say hello."], [self.params({}, {"lw_drafter": "off"}, temperature=0.0, max_tokens=4)])[0]
        self.chat(["Say hello."], [self.params({}, {"lw_drafter": "off"}, temperature=0.0, max_tokens=4)])
        self.results["after_abort"] = after
        self.results["open_sessions"] = self.llm.collective_rpc("latticework_sessions")

    def sampled(self, rounds: int) -> None:
        """Many samples of a few tokens. Not seeded one by one: vLLM's CPU runner dies of a seed in a chunked prompt."""
        for name, prompt, constraint, temperature, top_p in SAMPLED:
            before = self.counters()
            draws = []
            for _ in range(rounds):
                params = self.params(
                    constraint, {}, n=SAMPLES, temperature=temperature, top_p=top_p, max_tokens=SAMPLED_TOKENS
                )
                output = self.llm.generate(prompt, params, use_tqdm=False)[0]
                draws.append([list(sample.token_ids) for sample in output.outputs])
            self.results[f"sampled_{name}"] = {"draws": draws, "counters": _difference(self.counters(), before)}


def _difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name, 0.0)}


def main(arm: str, out: Path, model: str) -> None:
    """Run every check of one arm and write what came of it."""
    run = Run(arm, model)
    run.greedy()
    run.forced()
    run.pressure()
    run.abort()
    run.sampled(rounds=2 if arm == "plain" else 1)
    run.results["counters"] = run.counters()
    out.write_text(json.dumps(run.results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
