"""One vocabulary per tokenizer and process, and constraints compiled for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.options import RequestOptions
from latticework.plugins.serving import compile_for_request
from latticework.structured.bitmask import words
from latticework.structured.engines.base import CompiledGrammar
from latticework.structured.errors import LatticeworkError
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

_lock = threading.Lock()
_vocabularies: dict[tuple[int, int], tuple[Any, Vocabulary]] = {}


def vocabulary_of(tokenizer: Any, size: int, end_ids: Iterable[int] = ()) -> Vocabulary:
    """The vocabulary of a tokenizer, built once per process.

    Args:
        tokenizer: The engine's tokenizer object.
        size: Width of the model's logits.
        end_ids: Tokens that end the answer; the tokenizer's own if there are none.
    """
    key = (id(tokenizer), size)
    with _lock:
        if key not in _vocabularies:
            # The tokenizer is kept beside its vocabulary so that its id cannot be given to another one.
            _vocabularies[key] = (tokenizer, Vocabulary.from_hf(tokenizer, size=size))
        vocabulary = _vocabularies[key][1]
    ends = frozenset(end_ids)
    return vocabulary.with_eos(ends) if ends else vocabulary


def compile_constraint(
    spec: GrammarSpec,
    tokenizer: Any,
    size: int,
    options: RequestOptions | None = None,
    *,
    end_ids: Iterable[int] = (),
) -> CompiledGrammar:
    """Compile a constraint within the deployment's limits.

    Args:
        spec: The constraint.
        tokenizer, size, end_ids: See :func:`vocabulary_of`.
        options: The request's; default: the deployment's.

    Raises:
        LatticeworkError: It is wrong, unsupported or too expensive.
    """
    return compile_for_request(spec, vocabulary_of(tokenizer, size, end_ids), options or RequestOptions.parse(None))


def warm_up(tokenizer: Any, size: int) -> None:
    """Do now what the first constraint would otherwise wait for: the vocabulary's tables and the compiled loops.

    Raises:
        LatticeworkError: This tokenizer cannot be served.
    """
    # Here, because most processes that import this module compile no constraint themselves.
    from latticework.structured.engines.warming import warm_up as compile_loops

    compile_loops()
    try_first_mask(compile_constraint(GrammarSpec.json_object(), tokenizer, size))


def try_first_mask(grammar: CompiledGrammar) -> None:
    """Compute and forget the mask at the start: what cannot work is refused before it is scheduled, not failed later.

    Raises:
        LatticeworkError: It is too expensive, or the grammar engine failed.
    """
    try:
        grammar.matcher().fill_bitmask(np.zeros(words(grammar.vocabulary.size), np.int32))
    except LatticeworkError:
        raise
    except BaseException as error:
        if not isolatable(error):
            raise
        report(Role.ENGINE, grammar.engine, error, "its request is refused")
        reason = f"grammar engine {grammar.engine!r} failed on it ({type(error).__name__})"
        raise LatticeworkError(grammar.spec.kind, reason) from error
