"""The examples of the manual run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PRINTED = {
    "structural-tags.md": ["b'\"}</call>'\n"],
    "input-dependent-grammars.md": ["S ['the', 'cat', 'sat']\n", "['Ready? yes', 'Ready? no']\n"],
}


@pytest.mark.parametrize("page", PRINTED)
def test_examples_print_what_they_say(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    for example, printed in zip(examples, PRINTED[page], strict=True):
        exec(compile(example, page, "exec"), {"__name__": "example"})
        assert capsys.readouterr().out == printed
