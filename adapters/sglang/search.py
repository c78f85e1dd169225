"""Search on ordinary requests: ``lw_search``, around SGLang's tokenizer manager.

Candidates are ordinary requests under ids of their own, so everything that serves requests serves them, on every
endpoint. The prompt is computed first, once, with nothing written: from the radix cache all candidates share it, as
SGLang does for ``n`` parallel samples. The client sees one request and one answer; candidates are aborted when the
client leaves. Usage counts the answer given. A stream begins when the best answer is known, and brings it in one piece.
Log-probabilities are requested for scoring and taken away again if the client did not ask for them; SGLang computes
them after the grammar's mask and the temperature.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import Any

from latticework.plugins.options import Selection
from latticework.plugins.searching import OPTION, ClientLeftError, Search, candidate_options, candidate_seed
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.search.protocol import Candidate, Expand, SearchTask


def check(obj: Any) -> None:
    """Refuse what has no single best answer.

    Raises:
        LatticeworkError: Says what.
    """
    if isinstance(obj.sampling_params, list) or isinstance(obj.text, list) or _is_batch(obj.input_ids):
        raise LatticeworkError(OPTION, "gives one answer: send one prompt a request")
    params = obj.sampling_params or {}
    if (params.get("n") or 1) > 1 or (params.get("beam_width") or 1) > 1:
        raise LatticeworkError(OPTION, "gives one answer: set n to 1, without beam search")
    if obj.session_params:
        raise LatticeworkError(OPTION, "not supported in sessions")


async def answer(
    manager: Any,
    generate: Callable[..., AsyncIterator[Any]],
    obj: Any,
    request: Any,
    selection: Selection,
    grammar: CompiledGrammar | None,
    threads: Executor,
) -> dict[str, Any]:
    """Search, and give the best candidate as the answer to the client's request.

    Args:
        manager: SGLang's tokenizer manager.
        generate: Its unhooked ``generate_request``.
        obj: The client's ``GenerateReqInput``.
        request: The client's connection, ``None`` offline.
        selection: The policy and its options.
        grammar: The request's constraint.
        threads: Where the policy computes.
    """
    template = copy.copy(obj)
    obj.normalize_batch_and_arguments()  # gives it an id; SGLang's servers look at it afterwards
    host = _Host(manager, generate, template, request, obj.rid)
    best = await Search(selection, host, obj.rid, threads).answer(SearchTask(grammar))
    meta = best["meta_info"]
    meta["id"] = obj.rid
    if not template.return_logprob:
        best["meta_info"] = {key: value for key, value in meta.items() if "logprobs" not in key}
    return best


class _Host:
    """Writes candidates. See :class:`latticework.plugins.searching.SearchHost`."""

    def __init__(self, manager: Any, generate: Callable[..., Any], template: Any, request: Any, rid: str) -> None:
        self._manager = manager
        self._generate = generate
        self._template = template
        self._request = request
        self._rid = rid

    async def prepare(self, n: int) -> None:
        """Have the prompt in the radix cache before the candidates ask for it."""
        if n > 1:
            child = copy.copy(self._template)
            child.sampling_params = {"max_new_tokens": 0, "temperature": 0.0}
            child.return_logprob = False
            await self._write(child, "prompt")

    async def write(self, request: Expand, index: int, handle: int) -> dict[str, Any]:
        """The client's request, as the policy wants it changed."""
        child = copy.copy(self._template)
        child.sampling_params = _child_params(self._template.sampling_params or {}, request, index)
        child.return_logprob = True
        return await self._write(child, f"candidate-{handle}")

    def read(self, answer: dict[str, Any], handle: int) -> Candidate | None:
        """The tokens and their log-probabilities."""
        reason = (answer["meta_info"].get("finish_reason") or {}).get("type")
        if reason not in ("stop", "length"):
            return None
        written = answer["meta_info"].get("output_token_logprobs") or []
        return Candidate(
            token_ids=tuple(entry[1] for entry in written),
            logprobs=tuple(entry[0] for entry in written),
            complete=reason == "stop",
            handle=handle,
        )

    def raise_failure(self, answer: dict[str, Any]) -> None:
        """SGLang raises for aborted requests itself, unless they are streams."""
        raise ValueError(answer["meta_info"]["finish_reason"].get("message", "aborted"))

    async def _write(self, child: Any, name: str) -> dict[str, Any]:
        child.rid = f"{self._rid}-{name}"
        child.stream = False
        last: dict[str, Any] | None = None
        try:
            async for output in self._generate(self._manager, child, self._request):
                last = output
        except ValueError as error:
            if self._request is not None and await self._request.is_disconnected():
                raise ClientLeftError(str(error)) from error
            raise
        if last is None:
            raise RuntimeError("SGLang ended a request without an output")
        return last


def _child_params(params: dict[str, Any], request: Expand, index: int) -> dict[str, Any]:
    wanted = request.params
    child = {**params, "n": 1}
    child["custom_params"] = candidate_options(params.get("custom_params"))
    if wanted.temperature is not None:
        child["temperature"] = wanted.temperature
    child["sampling_seed"] = candidate_seed(params.get("sampling_seed"), request, index)
    if wanted.max_tokens is not None:
        child["max_new_tokens"] = min(wanted.max_tokens, params.get("max_new_tokens") or wanted.max_tokens)
    if request.stop:
        own = params.get("stop") or []
        child["stop"] = [*([own] if isinstance(own, str) else own), *request.stop]
    return child


def _is_batch(input_ids: Any) -> bool:
    return isinstance(input_ids, list) and bool(input_ids) and isinstance(input_ids[0], list)
