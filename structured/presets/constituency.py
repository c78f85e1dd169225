"""Constituency parsing: a bracketed tree over exactly the words of the input (:mod:`.tree` is its language)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from latticework.structured.presets.layouts import malformed, tag_spec
from latticework.structured.spec import GrammarSpec

#: Phrase labels and part-of-speech tags of the Penn Treebank.
LABELS = (
    "ADJP", "ADVP", "CONJP", "FRAG", "INTJ", "LST", "NAC", "NP", "NX", "PP", "PRN", "PRT", "QP", "RRC", "S", "SBAR",
    "SBARQ", "SINV", "SQ", "UCP", "VP", "WHADJP", "WHADVP", "WHNP", "WHPP", "X",
)  # fmt: skip
TAGS = (
    "#", "$", "''", ",", "-LRB-", "-RRB-", ".", ":", "CC", "CD", "DT", "EX", "FW", "IN", "JJ", "JJR", "JJS", "LS", "MD",
    "NN", "NNP", "NNPS", "NNS", "PDT", "POS", "PRP", "PRP$", "RB", "RBR", "RBS", "RP", "SYM", "TO", "UH", "VB", "VBD",
    "VBG", "VBN", "VBP", "VBZ", "WDT", "WP", "WP$", "WRB", "``",
)  # fmt: skip
_ESCAPES = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-"}


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a tree: a tag with its word, or a label with its children."""

    name: str
    word: str | None = None
    children: tuple[Node, ...] = ()

    def leaves(self) -> Iterator[str]:
        """The words, from left to right."""
        if self.word is not None:
            yield self.word
        for child in self.children:
            yield from child.leaves()


def constituency(
    words: Sequence[str], *, labels: Sequence[str] = LABELS, tags: Sequence[str] = TAGS, max_opens: int = 10
) -> GrammarSpec:
    """The language of the trees over ``words``; see :class:`latticework.structured.presets.tree.TreeSource`."""
    tree = {"type": "tree", "words": list(words), "labels": list(labels), "tags": list(tags), "max_opens": max_opens}
    return tag_spec(tree)


def words_of(text: str) -> list[str]:
    """The words of a text that is already cut at blanks, brackets as the treebank writes them."""
    return [re.sub(r"[()\[\]]", lambda bracket: _ESCAPES[bracket[0]], word) for word in text.split()]


def serialise(tree: Node) -> str:
    """The text of a tree."""
    return f"[{_serialised(tree)}]"


def _serialised(node: Node) -> str:
    inner = node.word if node.word is not None else " ".join(map(_serialised, node.children))
    return f"({node.name} {inner})"


def parse(text: str) -> Node:
    """The tree of a text. Raises ``LatticeworkError`` if it is none. Depth is bounded by memory only."""
    if not text.startswith("["):
        raise malformed(text, 0, "'['")
    opened: list[tuple[str, list[Node]]] = []
    at = 1
    while True:
        if found := _LEAF.match(text, at):
            node = Node(found[1], found[2])
        elif found := _OPEN.match(text, at):
            opened.append((found[1], []))
            at = found.end()
            continue
        else:
            raise malformed(text, at, "a node")
        at = found.end()
        while opened and text.startswith(")", at):
            name, children = opened.pop()
            node = Node(name, None, (*children, node))
            at += 1
        if not opened:
            break
        opened[-1][1].append(node)
        if not text.startswith(" ", at):
            raise malformed(text, at, "' ' or ')'")
        at += 1
    if text[at:] != "]":
        raise malformed(text, at, "']' and the end")
    return node


_LEAF = re.compile(r"\(([^\s()\[\]]+) ([^\s()\[\]]+)\)")
_OPEN = re.compile(r"\(([^\s()\[\]]+) (?=\()")
