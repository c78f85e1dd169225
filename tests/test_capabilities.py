"""The support matrix: what it says is tested is tested, and the page is what the table says."""

import re

import pytest

from integration.capabilities import CAPABILITIES, PAGE, files_by_row, lines_in, page

COUNT = re.compile(r"\| ([\d,]+) \| [\d.]+ % \|")


def test_every_row_has_a_test_and_every_test_a_row():
    assert files_by_row().keys() == CAPABILITIES.keys()


def test_rows_are_tested_on_both_engines():
    """Not in a file that is collected for one engine only."""
    for name, files in files_by_row().items():
        assert not all(file.startswith(("test_vllm_", "test_sglang_")) for file in files), name


@pytest.mark.parametrize("name", CAPABILITIES)
def test_what_is_missing_has_a_reason(name):
    for support in CAPABILITIES[name].on.values():
        assert support.works or len(support.note) > 20


def test_the_page_is_written_from_the_table():
    written, wanted = PAGE.read_text(encoding="utf-8"), page()
    hint = "run `python -m integration.capabilities`"
    assert COUNT.sub("", written) == COUNT.sub("", wanted), hint
    for old, new in zip(COUNT.findall(written), COUNT.findall(wanted), strict=True):
        lines = int(new.replace(",", ""))
        assert abs(int(old.replace(",", "")) - lines) <= lines / 10, f"the line counts are out of date: {hint}"


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
def test_adapters_are_thin(engine):
    total = sum(map(lines_in, ("structured", "speculative", "plugins", "adapters")))
    assert lines_in(f"adapters/{engine}") < 0.15 * total
