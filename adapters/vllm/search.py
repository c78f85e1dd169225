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

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from latticework.adapters.vllm.grammar import raise_failure
from latticework.plugins import metrics
from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.options import Selection
from latticework.plugins.registry import registry
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.protocol import (
    Candidate,
    Expand,
    SearchOutcome,
    SearchPolicy,
    SearchRequest,
    SearchResult,
    SearchSteps,
    SearchTask,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

#: ``(sampling_params, request_id)`` to the engine's stream of outputs.
Generate = Callable[["SamplingParams", str], AsyncGenerator["RequestOutput", None]]

_OPTION = "lw_search"


def check(params: SamplingParams, prompt: object) -> None:
    """Refuse what has no single best answer, or cannot be asked for more than once.

    Raises:
        LatticeworkError: Says what.
    """
    if params.n > 1:
        raise LatticeworkError(_OPTION, f"gives one answer: set n to 1 (it is {params.n})")
    if params.prompt_logprobs is not None or params.prompt_logprob_token_ids is not None:
        raise LatticeworkError(_OPTION, "not supported together with prompt_logprobs")
    if isinstance(prompt, AsyncGenerator):
        raise LatticeworkError(_OPTION, "not supported for streamed input")


class _PolicyError(Exception):
    """The policy failed, not the engine."""


@contextmanager
def _blaming_policy() -> Iterator[None]:
    """Whatever goes wrong in the block is the policy's fault. Not to be held over an ``await``."""
    try:
        yield
    except BaseException as error:
        if not isolatable(error):
            raise
        raise _PolicyError from error


class Search:
    """One search.

    Args:
        selection: The policy and its options.
        params: What the client asked for.
        request_id: The client's request.
        generate: The engine.
        threads: Where the policy computes, off the event loop: scoring a candidate may replay its grammar.
    """

    def __init__(
        self, selection: Selection, params: SamplingParams, request_id: str, generate: Generate, threads: Executor
    ) -> None:
        self._selection = selection
        self._params = params
        self._request_id = request_id
        self._generate = generate
        self._threads = threads
        self._outputs: list[RequestOutput] = []  # by handle

    async def answer(self, task: SearchTask) -> RequestOutput:
        """Run the policy and give the best candidate as the answer to the client's request.

        A policy that fails costs the search, not the request: the first complete candidate is given instead.
        Cancelling this aborts all candidates.
        """
        name, outcome = self._selection.name, "ok"
        try:
            best = await self._run(task)
        except _PolicyError as error:
            outcome = "fallback"
            report(Role.SEARCH, name, error.__cause__ or error, f"request {self._request_id} gets its first candidate")
            best = await self._fallback()
        except asyncio.CancelledError:
            metrics.SEARCHES.labels(search=name, outcome="cancelled").inc()
            raise
        metrics.SEARCHES.labels(search=name, outcome=outcome).inc()
        return self._as_answer(best)

    async def _run(self, task: SearchTask) -> RequestOutput:
        with _blaming_policy():
            policy: SearchPolicy = registry().factory(Role.SEARCH, self._selection.name).create(self._selection.options)
            steps = policy.steps(task)
        progress = await self._advance(steps, None)
        while not isinstance(progress, SearchOutcome):
            progress = await self._advance(steps, await self._perform(progress))
        with _blaming_policy():
            return self._outputs[progress.best.handle]

    async def _advance(self, steps: SearchSteps, result: SearchResult | None) -> SearchRequest | SearchOutcome:
        """Let the policy compute until its next wish, or its end."""

        def advance() -> SearchRequest | SearchOutcome:
            with _blaming_policy():
                try:
                    return next(steps) if result is None else steps.send(result)
                except StopIteration as stop:
                    outcome: SearchOutcome = stop.value
                    return outcome

        return await asyncio.get_running_loop().run_in_executor(self._threads, advance)

    async def _perform(self, request: SearchRequest) -> SearchResult:
        match request:
            case Expand(prefixes=((),)):
                return (await self._expand(request),)
            case Expand():
                # A constraint would have to begin in the middle, which vLLM's requests cannot say.
                reason = "continuing a candidate is not supported by the vLLM driver"
            case _:
                reason = f"{type(request).__name__} is not supported by the vLLM driver"
        raise _PolicyError from NotImplementedError(reason)

    async def _expand(self, request: Expand) -> tuple[Candidate, ...]:
        """Write ``request.n`` candidates at the same time. Those that failed are left out, unless all did."""
        try:
            async with asyncio.TaskGroup() as group:
                writing = [
                    group.create_task(self._write(self._child_params(request, index), len(self._outputs) + index))
                    for index in range(request.n)
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        written = [task.result() for task in writing]
        first = len(self._outputs)
        self._outputs += written
        metrics.SEARCH_CANDIDATES.inc(len(written))
        handles = [
            first + i for i, output in enumerate(written) if output.outputs[0].finish_reason in ("stop", "length")
        ]
        if not handles:
            raise_failure(written[0])
            handles = [first]
        return tuple(_candidate(self._outputs[handle], handle) for handle in handles)

    def _child_params(self, request: Expand, index: int) -> SamplingParams:
        """Parameters of candidate ``index`` of an expansion: the client's, as the policy wants them changed."""
        from vllm.sampling_params import RequestOutputKind

        child, wanted = self._params.clone(), request.params
        child.output_kind = RequestOutputKind.FINAL_ONLY
        child.extra_args = {k: v for k, v in (child.extra_args or {}).items() if not k.startswith(_OPTION)} or None
        if child.logprobs is None and not child.logprob_token_ids:
            child.logprobs = 0  # the written token's alone
        if wanted.temperature is not None:
            child.temperature = wanted.temperature
        seed = child.seed if wanted.seed is None else wanted.seed
        child.seed = None if seed is None else seed + index
        if wanted.max_tokens is not None:
            child.max_tokens = min(wanted.max_tokens, child.max_tokens or wanted.max_tokens)
        if request.stop:
            child.stop = [*child.stop, *request.stop]
            if not child.include_stop_str_in_output:
                child.output_text_buffer_length = max(map(len, child.stop)) - 1
        return child

    async def _write(self, params: SamplingParams, handle: int) -> RequestOutput:
        last: RequestOutput | None = None
        async for output in self._generate(params, f"{self._request_id}-candidate-{handle}"):
            last = output
        if last is None:
            raise RuntimeError("vLLM ended a request without an output")
        return last

    async def _fallback(self) -> RequestOutput:
        if not self._outputs:
            return await self._write(self._child_params(Expand(((),), 1), 0), 0)
        complete = (output for output in self._outputs if output.outputs[0].finish_reason == "stop")
        return next(complete, self._outputs[0])

    def _as_answer(self, output: RequestOutput) -> RequestOutput:
        output.request_id = self._request_id
        if self._params.logprobs is None and not self._params.logprob_token_ids:
            output.outputs[0].logprobs = None
            output.outputs[0].cumulative_logprob = None
        return output


def _candidate(output: RequestOutput, handle: int) -> Candidate:
    written = output.outputs[0]
    token_ids = tuple(written.token_ids)
    table = written.logprobs or ()
    return Candidate(
        token_ids=token_ids,
        logprobs=tuple(table[i][token_id].logprob for i, token_id in enumerate(token_ids)),
        complete=written.finish_reason == "stop",
        handle=handle,
    )
