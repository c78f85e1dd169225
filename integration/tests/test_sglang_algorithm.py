"""The algorithm and SGLang's flags: what it refuses, and what it changes and says so. No server is started."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

from latticework.adapters.sglang import speculation
from latticework.adapters.sglang.algorithm import DEFAULT_TOKENS, LatticeworkAlgorithm, validate
from latticework.adapters.sglang.plugin import register

pytestmark = pytest.mark.engine


def arguments(**changes: Any) -> SimpleNamespace:
    """Server arguments that fit."""
    fitting: dict[str, Any] = {
        "speculative_num_draft_tokens": None,
        "pp_size": 1,
        "enable_dp_attention": False,
        "disaggregation_mode": "null",
        "enable_watermark": False,
        "device": "cpu",
        "page_size": 1,
        "attention_backend": "torch_native",
        "disable_overlap_schedule": False,
        "max_running_requests": None,
        "cuda_graph_config": SimpleNamespace(decode=SimpleNamespace(backend="full")),
    }
    return SimpleNamespace(**fitting | changes)


@pytest.fixture
def algorithm() -> Any:
    register()
    found = SpeculativeAlgorithm.from_string(speculation.NAME)
    assert isinstance(found, LatticeworkAlgorithm)
    return found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"speculative_num_draft_tokens": 1}, "at least 2"),
        ({"pp_size": 2}, "pipeline"),
        ({"enable_dp_attention": True}, "data-parallel"),
        ({"disaggregation_mode": "prefill"}, "disaggregated"),
        ({"enable_watermark": True}, "watermarks"),
        ({"device": "cuda"}, "--cuda-graph-backend-decode=disabled"),
        ({"page_size": 16}, "--page-size 1"),
    ],
)
def test_flags_that_do_not_fit_are_refused_by_name(changes, reason):
    with pytest.raises(ValueError, match=reason) as refusal:
        validate(arguments(**changes))
    assert speculation.FLAG in str(refusal.value)


@pytest.mark.parametrize("changes", [{}, {"page_size": 16, "attention_backend": "flashinfer"}, {"page_size": None}])
def test_flags_that_fit_are_accepted(changes):
    validate(arguments(**changes))


def test_overlap_scheduling_is_switched_off_and_a_line_says_so(algorithm, caplog):
    server = arguments()
    with caplog.at_level(logging.INFO, "latticework.sglang"):
        algorithm.handle_server_args(server)
    assert server.disable_overlap_schedule
    assert "overlap scheduling is off" in caplog.text


def test_nothing_is_said_where_it_was_off_already(algorithm, caplog):
    with caplog.at_level(logging.INFO, "latticework.sglang"):
        algorithm.handle_server_args(arguments(disable_overlap_schedule=True))
    assert caplog.text == ""


@pytest.mark.parametrize(("asked", "verified"), [(None, DEFAULT_TOKENS), (2, 2), (3, 3), (17, 17)])
def test_a_step_is_as_wide_as_the_operator_says(algorithm, asked, verified):
    """SGLang reserves cache for ``steps * topk`` tokens a request, and reads trees only where ``topk`` is above 1."""
    server = arguments(speculative_num_draft_tokens=asked)
    algorithm.handle_server_args(server)
    assert server.speculative_num_draft_tokens == verified
    assert server.speculative_eagle_topk > 1
    assert server.speculative_num_steps * server.speculative_eagle_topk <= max(verified, 2)
