"""What a small model must offer to draft with: distributions after drafted paths, many in one forward pass.

Nothing here knows an engine or a framework. Whoever runs the model (a draft worker, a notebook, a toy in a test)
answers one call; the methods that grow drafts (:mod:`~latticework.speculative.rsd` and
:mod:`~latticework.speculative.staged`) ask for as many paths at once as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from latticework.speculative.chance import Row

Path = tuple[int, ...]

#: The distributions after the text so far and each of some paths of drafted tokens, by one forward pass of the small
#: model: ``float[V]`` each, non-negative, of any positive sum.
Forward = Callable[[Sequence[Path]], Sequence[Row]]
#: Draws an index with probability proportional to the weights (``float64[V]``).
Sampler = Callable[[Row], int]
