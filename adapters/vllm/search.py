"""Search on ordinary requests: ``lw_search``. The driver of a sans-IO policy over vLLM's asynchronous engine client.

Where search takes place was a choice of three. **Here**, in the front end around ``AsyncLLM.generate``: candidates are
ordinary requests, so everything that serves requests serves them (tensor and data parallelism, both model runners,
asynchronous scheduling, speculation, grammars, preemption, GPUs), every endpoint gets search without a new route, and
an abort is vLLM's own. The prompt is computed once where prefix caching is on, which is vLLM's default: full blocks are
shared, even between candidates that arrive in the same step. A **scheduler subclass** can fork a running request in the
middle of a block, but ``--scheduler-cls`` takes one class, so it does not compose with asynchronous scheduling (another
class) or anyone else's, and it reaches into private state that changes every release. An **endpoint plugin** would need
clients to learn a new route, and operators to name it in ``VLLM_PLUGINS``.

The client sees one request and one answer: candidates run under ids of their own, and are aborted when the client
leaves. Usage counts the answer given, not the candidates. A stream begins when the best answer is known, and brings it
in one piece. Log-probabilities are requested for scoring and taken away again if the client did not ask for them; as
vLLM computes them after the grammar's mask, they are relative to what the grammar allowed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from latticework.adapters.vllm.grammar import raise_failure
from latticework.plugins.searching import OPTION, candidate_options, candidate_seed
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.protocol import Candidate, Expand

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

#: ``(sampling_params, request_id)`` to the engine's stream of outputs.
Generate = Callable[["SamplingParams", str], AsyncGenerator["RequestOutput", None]]


def check(params: SamplingParams, prompt: object) -> None:
    """Refuse what has no single best answer, or cannot be asked for more than once.

    Raises:
        LatticeworkError: Says what.
    """
    if params.n > 1:
        raise LatticeworkError(OPTION, f"gives one answer: set n to 1 (it is {params.n})")
    if params.prompt_logprobs is not None or params.prompt_logprob_token_ids is not None:
        raise LatticeworkError(OPTION, "not supported together with prompt_logprobs")
    if isinstance(prompt, AsyncGenerator):
        raise LatticeworkError(OPTION, "not supported for streamed input")


class RequestHost:
    """Writes candidates of one client request. See :class:`latticework.plugins.searching.SearchHost`.

    Args:
        params: What the client asked for.
        request_id: The client's request.
        generate: The engine.
    """

    def __init__(self, params: SamplingParams, request_id: str, generate: Generate) -> None:
        self._params = params
        self._request_id = request_id
        self._generate = generate

    async def prepare(self, n: int) -> None:
        """Nothing: vLLM shares the prompt's full blocks even between requests that arrive in the same step."""

    async def write(self, request: Expand, index: int, handle: int) -> RequestOutput:
        """The client's request, as the policy wants it changed."""
        last: RequestOutput | None = None
        child = self._child_params(request, index)
        async for output in self._generate(child, f"{self._request_id}-candidate-{handle}"):
            last = output
        if last is None:
            raise RuntimeError("vLLM ended a request without an output")
        return last

    def read(self, answer: RequestOutput, handle: int) -> Candidate | None:
        """The tokens and their log-probabilities."""
        written = answer.outputs[0]
        if written.finish_reason not in ("stop", "length"):
            return None
        token_ids = tuple(written.token_ids)
        table = written.logprobs or ()
        return Candidate(
            token_ids=token_ids,
            logprobs=tuple(table[i][token_id].logprob for i, token_id in enumerate(token_ids)),
            complete=written.finish_reason == "stop",
            handle=handle,
        )

    def raise_failure(self, answer: RequestOutput) -> None:
        """See :func:`latticework.adapters.vllm.grammar.raise_failure`."""
        raise_failure(answer)

    def as_answer(self, output: RequestOutput) -> RequestOutput:
        """A candidate as the answer to the client's own request."""
        output.request_id = self._request_id
        if self._params.logprobs is None and not self._params.logprob_token_ids:
            output.outputs[0].logprobs = None
            output.outputs[0].cumulative_logprob = None
        return output

    def _child_params(self, request: Expand, index: int) -> SamplingParams:
        """Parameters of candidate ``index`` of an expansion: the client's, as the policy wants them changed."""
        from vllm.sampling_params import RequestOutputKind

        child, wanted = self._params.clone(), request.params
        child.output_kind = RequestOutputKind.FINAL_ONLY
        child.extra_args = candidate_options(child.extra_args)
        if child.logprobs is None and not child.logprob_token_ids:
            child.logprobs = 0  # the written token's alone
        if wanted.temperature is not None:
            child.temperature = wanted.temperature
        child.seed = candidate_seed(child.seed, request, index)
        if wanted.max_tokens is not None:
            child.max_tokens = min(wanted.max_tokens, child.max_tokens or wanted.max_tokens)
        if request.stop:
            child.stop = [*child.stop, *request.stop]
            if not child.include_stop_str_in_output:
                child.output_text_buffer_length = max(map(len, child.stop)) - 1
        return child
