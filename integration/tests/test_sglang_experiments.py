"""What the front end reads off SGLang's outputs, without a server."""

from __future__ import annotations

from typing import Any

import pytest
from sglang.srt.managers.io_struct import GenerateReqInput

from latticework.adapters.sglang.experiments import OutputReader, clean
from latticework.plugins.ab.outcome import Result


def output(tokens: int, finish: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    meta = {"completion_tokens": tokens, "prompt_tokens": 3, "finish_reason": finish}
    return {"text": "x" * tokens, "meta_info": meta, **fields}


EOS, STOP_TEXT = {"type": "stop", "matched": 2}, {"type": "stop", "matched": "END"}


def test_streams_say_all_so_far() -> None:
    reading = OutputReader(None)
    assert [reading.note(output(1)), reading.note(output(2)), reading.note(output(3, EOS))] == [False, False, True]
    seen = reading.seen()
    assert (seen.tokens, seen.prompt_tokens, seen.finish, seen.complete, seen.answer) == (3, 3, "stop", True, "xxx")


def test_several_answers_are_counted_together() -> None:
    reading = OutputReader(None)
    assert reading.note([output(2, EOS), output(3, STOP_TEXT)])
    assert (reading.seen().tokens, reading.seen().complete) == (5, False)
    reading = OutputReader(None)
    reading.note(output(2, index=0))
    assert not reading.note(output(3, EOS, index=1)), "how many there are is not known"
    assert reading.tokens == 5


@pytest.mark.parametrize(
    ("finish", "complete", "result"),
    [
        (EOS, True, Result.OK),
        ({"type": "length", "length": 3}, False, Result.OK),
        ({"type": "abort", "message": "x"}, False, Result.ERROR),
    ],
)
def test_ends(finish: dict[str, Any], complete: bool, result: Result) -> None:
    reading = OutputReader(None)
    reading.note(output(3, finish))
    assert (reading.seen().complete, reading.seen().result) == (complete, result)


def test_exceptions() -> None:
    assert OutputReader(None).result_of(ValueError("x")) is Result.REFUSED
    assert OutputReader(None).result_of(RuntimeError("x")) is Result.ERROR
    begun = OutputReader(None)
    begun.note(output(1))
    assert begun.result_of(ValueError("x")) is Result.ERROR


def test_what_only_the_server_writes_is_taken_out() -> None:
    forged = {"custom_params": {"latticework_arm": "made/up", "lw_drafter": "off"}}
    request = GenerateReqInput(text=["a", "b"], sampling_params=[forged, {}])
    clean(request)
    assert request.sampling_params[0]["custom_params"] == {"lw_drafter": "off"}
