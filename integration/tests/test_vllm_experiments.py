"""What the front end reads off vLLM's own outputs, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from vllm.exceptions import GenerationError, VLLMValidationError
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.metrics.stats import RequestStateStats

from latticework.adapters.vllm.experiments import OutputReader
from latticework.plugins.ab.outcome import Result


def output(*tokens: list[int], finish: str | None = None, stop: Any = None, **fields: Any) -> RequestOutput:
    written = [
        CompletionOutput(index, "x" * len(ids), ids, None, None, finish_reason=finish, stop_reason=stop)
        for index, ids in enumerate(tokens)
    ]
    return RequestOutput("r", None, [1, 2, 3], None, written, finish is not None, **fields)


def reader(kind: RequestOutputKind, wants_text: bool = True) -> OutputReader:
    return OutputReader(SamplingParams(output_kind=kind), wants_text)


def test_deltas_add_up() -> None:
    reading = reader(RequestOutputKind.DELTA)
    assert [reading.note(output([1, 2])), reading.note(output([3]))] == [False, False]
    assert reading.note(output([4], finish="stop"))
    seen = reading.seen()
    assert (seen.tokens, seen.prompt_tokens, seen.finish, seen.result) == (4, 3, "stop", Result.OK)
    assert (seen.complete, seen.first_token, seen.answer) == (True, None, "xxxx")


@pytest.mark.parametrize("kind", [RequestOutputKind.CUMULATIVE, RequestOutputKind.FINAL_ONLY])
def test_whole_outputs_replace_each_other(kind: RequestOutputKind) -> None:
    reading = reader(kind)
    reading.note(output([1]))
    assert reading.note(output([1, 2], [3, 4, 5], finish="length", metrics=RequestStateStats(first_token_latency=0.5)))
    seen = reading.seen()
    assert (seen.tokens, seen.complete, seen.first_token, seen.answer) == (5, False, 0.5, "xx\nxxx")


@pytest.mark.parametrize(
    ("finish", "stop", "complete", "result"),
    [
        ("stop", None, True, Result.OK),
        ("stop", 7, True, Result.OK),
        ("stop", "END", False, Result.OK),
        ("length", None, False, Result.OK),
        ("error", None, False, Result.ERROR),
        ("abort", None, False, Result.CANCELLED),
    ],
)
def test_ends(finish: str, stop: Any, complete: bool, result: Result) -> None:
    reading = reader(RequestOutputKind.FINAL_ONLY)
    reading.note(output([1], finish=finish, stop=stop))
    assert (reading.seen().complete, reading.seen().result) == (complete, result)


def test_no_text_is_kept_unless_asked_for() -> None:
    reading = reader(RequestOutputKind.DELTA, wants_text=False)
    reading.note(output([1], finish="stop"))
    assert reading.seen().answer == ""


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (asyncio.CancelledError(), Result.CANCELLED),
        (VLLMValidationError("x"), Result.REFUSED),
        (GenerationError("x"), Result.ERROR),
        (RuntimeError("x"), Result.ERROR),
    ],
)
def test_exceptions(error: BaseException, result: Result) -> None:
    assert reader(RequestOutputKind.DELTA).result_of(error) is result
