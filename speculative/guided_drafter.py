"""Grammar drafting that guesses: forced text, and where nothing is forced what the schema and earlier answers suggest.

The guesses of each place (:mod:`~latticework.speculative.place_guesses`) grow a tree, best first. Forced runs cost
nothing in it, and another drafter's tree is merged in node by node: its illegal nodes are skipped, so it is asked for
more of them than are needed.

Source: speculative spec, section 20, steps 3 to 7.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latticework.speculative.answer_memory import AnswerMemory
from latticework.speculative.best_path import best_path
from latticework.speculative.combine import advanced, append, room_in
from latticework.speculative.draft import EMPTY_DRAFT, ROOT, Draft, DraftKind
from latticework.speculative.drafter import (
    DraftBudget,
    Drafter,
    RequestView,
    VerifiedRows,
    read_prompt,
    verified_hidden,
    verified_prompt,
    verified_top_k,
)
from latticework.speculative.grammar_drafter import forced_chain, forced_into
from latticework.speculative.json_spots import Spot
from latticework.speculative.merge import assumed_scores
from latticework.speculative.place_guesses import Guesses, Suggestions
from latticework.speculative.scopes import Scopes
from latticework.structured.engines.base import CompiledGrammar, Matcher

NAME = "guided"
_WORTHLESS = 0.002
_GRAMMARS = 64  # whose suggestions are remembered
_WIDER = 3  # times the nodes that there is room for are asked of the other drafter
_ASKED, _WORTH_ASKING = 6, 0.05  # how often it is asked for a tree, and from which score of a node on
_LOOKED_BACK = 64  # tokens of text that it is shown before a path of the tree


@dataclass(slots=True)
class _Request:
    """A request's place in its document: after its first ``known`` tokens of output."""

    guesses: Guesses
    spot: Spot
    known: int = 0


class GuidedDrafter:
    """Drafts within the grammar; without one it is the inner drafter alone.

    Args:
        inner: Another drafter, if its guesses shall be merged in.
        places: Places of documents that a scope remembers.
        scopes: How many scopes are remembered.
    """

    def __init__(self, inner: Drafter | None = None, places: int = 1 << 14, scopes: int = 8) -> None:
        self._inner = inner
        self.verified_top_k, self.verified_hidden = verified_top_k(inner), verified_hidden(inner)
        self.verified_prompt = verified_prompt(inner)
        self._memories = Scopes(lambda: AnswerMemory(places), scopes)
        self._requests: dict[str, _Request] = {}
        self._suggestions: OrderedDict[tuple[str, str], Suggestions] = OrderedDict()  # by grammar and vocabulary

    def begin(self, request: RequestView) -> None:
        """See :meth:`Drafter.begin`."""
        self._memories.begin(request)
        if self._inner is not None:
            self._inner.begin(request)

    def read_prompt(self, request: RequestView, shown: VerifiedRows, start: int) -> None:
        """See :func:`~latticework.speculative.drafter.read_prompt`."""
        read_prompt(self._inner, request, shown, start)

    def observe(self, request: RequestView, committed: Sequence[int], verified: VerifiedRows | None) -> None:
        """See :meth:`Drafter.observe`."""
        if self._inner is not None:
            self._inner.observe(request, committed, verified)
        self._followed(request, learning=True)

    def draft(self, request: RequestView, budget: DraftBudget) -> Draft:
        """See :meth:`Drafter.draft`."""
        if min(budget.max_nodes, budget.max_depth) <= 0:
            return EMPTY_DRAFT
        state = self._followed(request, learning=False)
        if state is None or request.matcher is None:
            return self._inner.draft(request, budget) if self._inner is not None else EMPTY_DRAFT
        view, draft, spot = replace(request, matcher=request.matcher.fork()), EMPTY_DRAFT, state.spot
        while (room := room_in(budget, draft)) is not None and view.matcher is not None and not view.matcher.finished:
            if not spot.free:
                forced = forced_chain(forced_into(view.matcher.fork(), min(room.max_nodes, room.max_depth)))
                draft, spot = _advance(view, draft, forced, state.guesses, spot)
            if (room := room_in(budget, draft)) is None or view.matcher.finished:
                break
            guess = self._guess(view, view.matcher, state.guesses, spot, room)
            if not guess.is_chain:
                return append(draft, guess)
            if not len(guess):
                break
            draft, spot = _advance(view, draft, guess, state.guesses, spot)
        return draft

    def end(self, request: RequestView) -> None:
        """See :meth:`Drafter.end`."""
        self._requests.pop(request.request_id, None)
        self._memories.end(request)
        if self._inner is not None:
            self._inner.end(request)

    def _followed(self, request: RequestView, learning: bool) -> _Request | None:
        """The request's place at the end of its text; ``None`` while it has no grammar."""
        state = self._requests.get(request.request_id)
        if state is None:
            if request.grammar is None:
                return None
            guesses = Guesses(self._suggested(request.grammar), self._memories.get(request))
            state = _Request(guesses, guesses.start)
            if learning:
                self._requests[request.request_id] = state
        elif not learning:
            state = replace(state)
        output = request.tokens[request.prompt_length :]
        before = int(output[state.known - 1]) if 0 < state.known <= len(output) else -1
        for token in output[state.known :].tolist():
            if learning:
                state.guesses.learn(state.spot, before, token)
            state.spot, before = state.guesses.after(state.spot, token), token
        state.known = len(output)
        return state

    def _suggested(self, grammar: CompiledGrammar) -> Suggestions:
        key = (grammar.spec.key, grammar.vocabulary.fingerprint)
        if key not in self._suggestions:
            self._suggestions[key] = Suggestions(grammar)
            if len(self._suggestions) > _GRAMMARS:
                self._suggestions.popitem(last=False)
        self._suggestions.move_to_end(key)
        return self._suggestions[key]

    def _guess(self, view: RequestView, matcher: Matcher, guesses: Guesses, spot: Spot, room: DraftBudget) -> Draft:
        """A tree of guesses; where only chains are verified the best path of one."""
        last = int(view.tokens[-1]) if len(view.tokens) > view.prompt_length else -1
        text = view.tokens[-_LOOKED_BACK:]

        def ask(path: Sequence[int], depth: int) -> Draft:
            """What the other drafter says after a path."""
            if self._inner is None:
                return EMPTY_DRAFT
            tokens = np.concatenate((text, np.array(path, np.int32))) if path else view.tokens
            wider = DraftBudget(_WIDER * room.max_nodes, depth)
            draft = self._inner.draft(replace(view, tokens=tokens), wider)
            # Drafts of the other kinds are verified by different rules.
            return draft if draft.kind is DraftKind.DETERMINISTIC else EMPTY_DRAFT

        if room.branching:
            return grow(matcher, guesses, spot, last, ask, room)
        tree = grow(matcher, guesses, spot, last, ask, DraftBudget(_WIDER * room.max_nodes, room.max_depth))
        return best_path(tree).within(room.max_nodes, room.max_depth)


#: What another drafter says after a path of the tree, so deep at most.
_Ask = Callable[[Sequence[int], int], Draft]
#: Where another drafter's tree is: the tree and the node, or ``None`` where it has nothing.
_Elsewhere = tuple["_Children", int] | None
#: A token that may become a node: its worth (negative), when it was found, below which node, the token, where the text
#: and the other draft are before it.
_Slot = tuple[float, int, int, int, Matcher, Spot, _Elsewhere]


def grow(matcher: Matcher, guesses: Guesses, spot: Spot, last: int, ask: _Ask, budget: DraftBudget) -> Draft:
    """The tree of guesses, best first; forced runs follow their node at its own score.

    Args:
        matcher: The grammar at the end of the text. Left where it is.
        guesses: What may come next.
        spot, last: Where the text ends, and its last token.
        ask: Another drafter, whose nodes are guesses like any other. It is asked at the root, and again where its own
            tree has nothing, as after forced text, a few times a draft.
        budget: Of the tree.
    """
    tokens: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    scores: list[float] = []
    heap: list[_Slot] = []
    at, node, score = matcher, ROOT, 1.0
    elsewhere: _Elsewhere = None
    pushed = asked = 0
    while True:
        depth = depths[node] if node >= 0 else 0
        if depth < budget.max_depth and not at.finished:
            if elsewhere is None and asked < _ASKED and score >= _WORTH_ASKING:
                asked += 1
                elsewhere = _asked(ask(_path(tokens, parents, node), budget.max_depth - depth))
            for token, (odds, follows) in _offered(guesses, spot, last, elsewhere).items():
                if score * odds >= _WORTHLESS:
                    pushed += 1
                    heapq.heappush(heap, (-score * odds, pushed, node, token, at, spot, follows))
        while heap:  # the best legal one
            negative, _, node, token, at, spot, elsewhere = heapq.heappop(heap)
            at = at.fork()
            if at.accept(token):
                break
        else:
            break
        score, spot = -negative, guesses.after(spot, token)
        depth = 1 if node == ROOT else depths[node] + 1
        run = [token]
        room = min(budget.max_depth - depth, budget.max_nodes - len(tokens) - 1)
        if room > 0 and not spot.free:
            run += forced_into(at, room)
        for i, member in enumerate(run):
            if i:
                spot = guesses.after(spot, member)
                elsewhere = elsewhere and elsewhere[0].follow(elsewhere[1], member)
            tokens.append(member)
            parents.append(node)
            depths.append(depth + i)
            scores.append(score)
            node = len(tokens) - 1
        last = run[-1]
        if len(tokens) == budget.max_nodes:
            break
    return Draft(
        np.array(tokens, np.int32),
        np.array(parents, np.int32),
        np.array(depths, np.int32),
        score=np.array(scores, np.float32),
        origin=NAME,
    )


def _path(tokens: Sequence[int], parents: Sequence[int], node: int) -> list[int]:
    """The tokens down to a node."""
    path: list[int] = []
    while node != ROOT:
        path.append(tokens[node])
        node = parents[node]
    return path[::-1]


def _offered(guesses: Guesses, spot: Spot, last: int, elsewhere: _Elsewhere) -> dict[int, tuple[float, _Elsewhere]]:
    """The tokens that may follow: the better of the odds, and where the other draft goes on."""
    offered = elsewhere[0].of(elsewhere[1]) if elsewhere is not None else {}
    left = 1.0
    for token, odds, _ in guesses.offers(spot, last):
        other, follows = offered.get(token, _NOWHERE)
        offered[token] = (max(left * odds, other), follows)
        left *= 1.0 - odds
    return offered


_NOWHERE: tuple[float, _Elsewhere] = (0.0, None)


class _Children:
    """The children of each node of a draft, by token: the odds after their parent, and which node each is.

    A leaf is not told apart from what the draft does not have: there it has nothing to say.
    """

    def __init__(self, draft: Draft) -> None:
        self._below: dict[int, dict[int, tuple[float, int]]] = {}
        scores = assumed_scores(draft)
        for node, (token, parent) in enumerate(zip(draft.token.tolist(), draft.parent.tolist(), strict=True)):
            above = scores[parent] if parent != ROOT else 1.0
            odds = min(scores[node] / above, 1.0) if above > 0.0 else 0.0
            self._below.setdefault(parent, {}).setdefault(token, (odds, node))

    def follow(self, node: int, token: int) -> _Elsewhere:
        """The child of a node that is a token."""
        child = self._below.get(node, {}).get(token)
        return (self, child[1]) if child is not None and child[1] in self._below else None

    def of(self, node: int) -> dict[int, tuple[float, _Elsewhere]]:
        """A copy, to be added to."""
        below = self._below
        return {
            token: (odds, (self, child) if child in below else None)
            for token, (odds, child) in below.get(node, {}).items()
        }


def _asked(draft: Draft) -> _Elsewhere:
    return (_Children(draft), ROOT) if len(draft) else None


def _advance(view: RequestView, draft: Draft, chain: Draft, guesses: Guesses, spot: Spot) -> tuple[Draft, Spot]:
    """``draft`` with ``chain`` at its end, and the spot there; the view is moved along."""
    for token in chain.token.tolist():
        spot = guesses.after(spot, token)
    return advanced(view, draft, chain), spot
