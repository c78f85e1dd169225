"""Prompts for a real model: those of recorded answers, or of records, with the constraint that they ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latticework.bench.drafts.traces import TokenArray, Trace
from latticework.bench.records import read_records
from latticework.structured.spec import GrammarSpec


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """One request.

    Attributes:
        category: What kind of task it is.
        tokens: ``int32[P]``.
        spec: What its answer should be within, if there is something.
    """

    category: str
    tokens: TokenArray
    spec: GrammarSpec | None = None


def of_traces(traces: Iterable[Trace]) -> list[Prompt]:
    """The prompts of recorded answers."""
    return [Prompt(trace.category, trace.prompt) for trace in traces]


def read_prompts(paths: Sequence[Path], tokenizer: Any, longest: int) -> list[Prompt]:
    """The prompts of files of records, as the model's chat template writes them.

    Args:
        paths: The files.
        tokenizer: A ``transformers`` tokenizer with a chat template.
        longest: Prompts of more tokens are left out.

    Raises:
        LatticeworkError: A file is not there, or a line is no record, or asks for what is no constraint.
    """
    prompts: list[Prompt] = []
    for record in read_records(paths):
        asked = tokenizer.apply_chat_template(record.messages, tokenize=False, add_generation_prompt=True)
        tokens = np.array(tokenizer(asked, add_special_tokens=False)["input_ids"], np.int32)
        if len(tokens) <= longest:
            prompts.append(Prompt(record.category, tokens, record.spec))
    return prompts
