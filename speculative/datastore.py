"""A datastore: token documents on disk, arranged so that what followed a text, or a state of mind, is found quickly.

A folder of plain arrays, mapped into memory and read as needed::

    datastore.json    format, counts, the tokenizer's fingerprint
    tokens.npy        int32[n], the documents, BETWEEN after each
    suffixes.npy      int32[n], the suffix array (:mod:`~latticework.speculative.suffix_array`)
    dense/            the index over hidden states, if it was built (:mod:`~latticework.speculative.dense_index`)

It holds what it was built from in the clear and answers every request alike: build it from text that all may see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from latticework.speculative.dense_index import DenseIndex
from latticework.speculative.drafter import TokenArray
from latticework.speculative.suffix_array import BETWEEN, sort_suffixes
from latticework.structured.errors import LatticeworkError

_FORMAT = 1
_DESCRIPTION, _TOKENS, _SUFFIXES, _DENSE = "datastore.json", "tokens.npy", "suffixes.npy", "dense"
_MOST = 2**31 - 2


@dataclass(frozen=True, eq=False)
class Datastore:
    """An opened datastore.

    Attributes:
        tokens, suffixes: ``int32[n]``, read-only.
        dense: The index over hidden states, or ``None``.
        fingerprint: Of the tokenizer that the documents were encoded with; empty if it is not known.
    """

    tokens: TokenArray
    suffixes: TokenArray
    dense: DenseIndex | None = None
    fingerprint: str = ""


def build(
    folder: Path,
    documents: Iterable[TokenArray],
    fingerprint: str = "",
    progress: Callable[[int, int], None] = lambda done, rounds: None,
) -> Datastore:
    """Write a datastore of ``documents`` (``int32[...]`` each) into ``folder``, which is made if need be.

    Raises:
        LatticeworkError: There is no token, there are too many, or one is negative.
    """
    parts: list[TokenArray] = []
    for document in documents:
        if len(document):
            if document.min() < 0:
                raise LatticeworkError("documents", f"document {len(parts) // 2} holds a negative token id")
            parts += [np.asarray(document, np.int32), np.array([BETWEEN], np.int32)]
    size = sum(map(len, parts))
    if not 0 < size <= _MOST:
        raise LatticeworkError("documents", f"must hold 1 to {_MOST} tokens, got {size}")
    tokens = np.concatenate(parts)
    suffixes = sort_suffixes(tokens, progress)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / _TOKENS, tokens)
    np.save(folder / _SUFFIXES, suffixes)
    described = {"format": _FORMAT, "documents": len(parts) // 2, "tokens": size, "tokenizer": fingerprint}
    (folder / _DESCRIPTION).write_text(json.dumps(described, indent=1), encoding="utf-8")
    return Datastore(tokens, suffixes, None, fingerprint)


def add_dense(folder: Path, index: DenseIndex) -> None:
    """Write an index over hidden states beside the tokens it points into."""
    index.save(folder / _DENSE)


def open_datastore(folder: Path) -> Datastore:
    """Map a datastore into memory. Raises :class:`LatticeworkError` if there is none."""
    try:
        described = json.loads((folder / _DESCRIPTION).read_text(encoding="utf-8"))
        if described["format"] != _FORMAT:
            raise LatticeworkError("datastore", f"{folder}: format {described['format']}, expected {_FORMAT}")
        tokens, suffixes = (np.load(folder / name, mmap_mode="r") for name in (_TOKENS, _SUFFIXES))
    except (OSError, ValueError, KeyError) as error:
        raise LatticeworkError("datastore", f"{folder}: not a datastore ({error})") from error
    dense = DenseIndex.load(folder / _DENSE) if (folder / _DENSE).is_dir() else None
    return Datastore(tokens, suffixes, dense, described["tokenizer"])
