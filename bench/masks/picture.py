"""The distribution of token times, one curve an engine: how many tokens took longer than a time, both on log axes.

Percentiles can be read off it: p99 is where a curve crosses 1 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from latticework.bench.masks.plan import Run
from latticework.bench.masks.summary import token_microseconds

_COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#3c8d5a", "#7b5ea7", "#8a6d3b", "#444444")
_POINTS = 2000

Floats = npt.NDArray[np.float64]


def draw(runs: Sequence[Run], path: Path, title: str) -> None:
    """Write the picture; one panel a tokenizer. The file's ending decides the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tokenizers = list(dict.fromkeys(run.tokenizer for run in runs))
    engines = list(dict.fromkeys(run.engine for run in runs))
    figure = Figure(figsize=(1 + 7 * len(tokenizers), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(tokenizers), squeeze=False, sharey=True)[0]
    for panel, tokenizer in zip(panels, tokenizers, strict=True):
        for run in runs:
            times = np.sort(token_microseconds(run.results))
            if run.tokenizer != tokenizer or not len(times):
                continue
            longer, at = _survival(times)
            colour = _COLOURS[engines.index(run.engine) % len(_COLOURS)]
            width = 2.4 if run.engine == "lattice" else 1.4
            panel.plot(at, longer, color=colour, linewidth=width, label=run.engine)
        _dress(panel, tokenizer)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def _survival(times: Floats) -> tuple[Floats, Floats]:
    """Shares of tokens that took longer, and the times; thinned out evenly on the log axis."""
    count = len(times)
    ranks = np.unique(np.geomspace(1, count, _POINTS).astype(int))
    return ranks / count, np.maximum(times[count - ranks], 0.1)


def _dress(panel: Any, tokenizer: str) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_ylim(5e-5, 1.3)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.set_xlabel("time of a token: mask and accept, µs")
    panel.set_ylabel("share of tokens that took longer")
    panel.set_yticks([0.5, 0.1, 0.01, 0.001, 0.0001], ["50 % (p50)", "10 %", "1 % (p99)", "0.1 % (p99.9)", "0.01 %"])
    panel.set_title(f"tokenizer {tokenizer}", fontsize=10)
    panel.grid(True, which="major", color="#dddddd", linewidth=0.8)
    panel.legend(frameon=False)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
