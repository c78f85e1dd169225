"""The process that measures: ``python -m latticework.bench.workers.worker`` (see :mod:`.protocol`)."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from latticework.bench.cases import BUILTIN
from latticework.bench.engines.base import Engine, RefusedError, Walk
from latticework.bench.engines.registry import build
from latticework.bench.tokenizers import TokenizerSource
from latticework.bench.workers.protocol import Clock, InstanceResult, Opened, Status

Now = Callable[[], int]
_CLOCKS: dict[Clock, Now] = {Clock.CPU: time.process_time_ns, Clock.WALL: time.perf_counter_ns}
_PR_SET_PDEATHSIG = 1


class Bench:
    """An engine, and the clock that it is measured by."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._now = _CLOCKS[clock]
        self.clock_ns = _cost(self._now)

    def case(self, schema: Any, instances: list[dict[str, Any]]) -> dict[str, Any]:
        """Compile, compute the first mask, and walk through every instance."""
        gc.collect()  # the last schema's garbage is not this one's time
        now = self._now
        begin = now()
        try:
            start = self._engine.compile(schema)
            compiled = now()
            walk = start()
            walk.fill()
        except RefusedError as refusal:
            return {"status": Status.REFUSED, "reason": str(refusal), "instances": []}
        except Exception as error:
            return {"status": Status.ERROR, "reason": f"{type(error).__name__}: {error}"[:500], "instances": []}
        first = now()
        token_ns: list[int] = []
        results = [self._instance(start, instance, token_ns) for instance in instances]
        return {
            "status": Status.COMPILED,
            "compile_ns": max(0, compiled - begin - self.clock_ns),
            "first_mask_ns": max(0, first - begin - 2 * self.clock_ns),
            "token_ns": token_ns,
            "instances": [asdict(result) for result in results],
        }

    def _instance(self, start: Callable[[], Walk], instance: dict[str, Any], token_ns: list[int]) -> InstanceResult:
        valid, tokens = instance["valid"], instance["tokens"]
        index = 0
        try:
            walk = start()
            for index, token in enumerate(tokens):
                accepted = self._token(walk, token, token_ns)
                # The mask decides, because a sampler sees nothing else.
                if not _allows(walk, token):
                    return InstanceResult(valid, False, index)
                if not accepted:
                    return InstanceResult(valid, None, index, f"token {token} is in the mask and was not accepted")
            index = len(tokens)
            walk.fill()
            return InstanceResult(valid, True) if walk.can_end() else InstanceResult(valid, False, index)
        except Exception as error:
            return InstanceResult(valid, None, index, f"{type(error).__name__}: {error}"[:300])

    def _token(self, walk: Walk, token: int, token_ns: list[int]) -> bool:
        fill, accept, now = walk.fill, walk.accept, self._now
        begin = now()
        fill()
        accepted = accept(token)
        end = now()
        token_ns.append(max(0, end - begin - self.clock_ns))
        return bool(accepted)


def _allows(walk: Walk, token: int) -> bool:
    word = token >> 5
    return word < len(walk.row) and bool((int(walk.row[word]) >> (token & 31)) & 1)


def _cost(now: Now) -> int:
    """Median of what two readings of the clock right after each other are apart."""
    differences = sorted(-now() + now() for _ in range(2001))
    return differences[len(differences) // 2]


def open_bench(message: dict[str, Any]) -> tuple[Bench, Opened]:
    """Build the engine's tables and warm it up."""
    if (core := message.get("core")) is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    vocabulary = TokenizerSource(**message["tokenizer"]).vocabulary()
    base = _memory("VmRSS")
    engine = build(message["engine"], vocabulary, message["assert_formats"])
    built_ms = 1000 * (time.time() - message["started"])
    begin = time.perf_counter()
    bench = Bench(engine, Clock(message["clock"]))
    for case in BUILTIN:
        instances = [
            {"valid": instance.valid, "tokens": tokens}
            for instance in case.instances
            # Not as the tokenizer would: its library's memory is not the engine's.
            if (tokens := vocabulary.trie.longest_match(instance.text.encode())) is not None
        ]
        bench.case(case.schema, instances)
    warm_up_ms = 1000 * (time.perf_counter() - begin)
    gc.collect()
    gc.freeze()  # as vLLM and SGLang do after start-up
    return bench, Opened(engine.version, built_ms, warm_up_ms, bench.clock_ns, base)


def _memory(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` in bytes. ``ru_maxrss`` would be the parent's at its fork if that is larger."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _answers() -> IO[str]:
    """The real standard output. What libraries print goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group, but the parent decides
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Answer requests until there are no more."""
    _die_with_parent()
    answers = _answers()
    bench: Bench | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "open":
            bench, opened = open_bench(request)
            answer = asdict(opened)
        else:
            assert bench is not None
            answer = bench.case(request["schema"], request["instances"])
            answer["rss"] = _memory("VmHWM")
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
