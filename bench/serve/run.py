"""The measurement: requests in blocks, each block under every arm in turn, the order of arms rotating.

What drifts (other programs, heat, a growing cache) hits all arms alike, and a block gives one ratio of an arm to the
first. Every arm sends a cache salt of its own, so that none finds the prompts of another in the prefix cache and no
drafter learns from another arm's answers; prompts repeat only if rounds are asked for.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from latticework.bench.records import Record
from latticework.bench.serve.arms import Arm
from latticework.bench.serve.client import Answer, ask
from latticework.bench.serve.server import Server
from latticework.plugins.input_grammars import OPTION


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        concurrency: Requests at a time.
        block: Requests of an arm before the next arm's turn.
        rounds: How often all requests are sent.
        warm_up: Requests to every arm that do not count.
        grammar: Constrain answers to the records' schemas, or to queries over their tables. The latter is an option of
            latticework: a server without it leaves them as they are.
        fields: Further fields of every request: ``temperature``, ``max_tokens``, ...
        timeout: Seconds that an answer may be silent.
    """

    concurrency: int = 1
    block: int = 1
    rounds: int = 1
    warm_up: int = 2
    grammar: bool = True
    fields: dict[str, Any] = field(default_factory=dict)
    timeout: float = 300.0


@dataclass
class Block:
    """One arm's turn: its answers in the order of the requests, and how long all of them took."""

    answers: list[Answer]
    seconds: float
    tokens: float = 0.0
    steps: float = 0.0


@dataclass
class Measured:
    """What one arm came to; block ``i`` of every arm is about the same requests."""

    arm: Arm
    engine: str
    blocks: list[Block] = field(default_factory=list)


def measure(
    arms: Sequence[Arm], records: Sequence[Record], load: Load, progress: Callable[[str, int], None]
) -> tuple[list[Measured], bool]:
    """Send everything.

    Args:
        arms: What is compared; ratios are to the first.
        records: The requests.
        load: How they are sent.
        progress: Told the arm at work and how many requests were answered by all arms together.

    Returns:
        One entry an arm, and whether it ran to its end: after Ctrl-C whole blocks are kept.

    Raises:
        LatticeworkError: No engine answers at an arm's address.
    """
    servers = {arm.url: Server.at(arm.url) for arm in arms}
    measured = [Measured(arm, servers[arm.url].engine) for arm in arms]
    salts = {arm.name: f"bench-{secrets.token_hex(8)}" for arm in arms}
    queue = [record for _ in range(load.rounds) for record in records]
    blocks = [queue[start : start + load.block] for start in range(0, len(queue), load.block)]
    done = 0
    try:
        with ThreadPoolExecutor(load.concurrency) as pool:

            def turn(arm: Arm, block: Sequence[Record]) -> Block:
                server = servers[arm.url]
                bodies = [request_body(server, arm, record, load, salts[arm.name]) for record in block]
                return _turn(pool, server, bodies, load.timeout)

            for arm in arms:
                progress(f"{arm.name}: warming up", 0)
                turn(arm, records[: load.warm_up])
            for number, block in enumerate(blocks):
                row: dict[str, Block] = {}
                for place in range(len(arms)):
                    arm = arms[(place + number) % len(arms)]
                    progress(arm.name, done)
                    row[arm.name] = turn(arm, block)
                    done += len(block)
                for each in measured:
                    each.blocks.append(row[each.arm.name])
    except KeyboardInterrupt:
        return measured, False
    progress("", done)
    return measured, True


def _turn(pool: ThreadPoolExecutor, server: Server, bodies: list[dict[str, Any]], timeout: float) -> Block:
    before = server.counts()
    began = time.perf_counter()
    answers = list(pool.map(lambda body: ask(server.url, body, timeout), bodies))
    block = Block(answers, time.perf_counter() - began)
    after = server.counts() if before is not None else None
    if before is not None and after is not None:
        block.tokens, block.steps = after.tokens_per_step(before)
    return block


def request_body(server: Server, arm: Arm, record: Record, load: Load, salt: str) -> dict[str, Any]:
    """What is sent for one record in one arm."""
    schema = record.schema if load.grammar else None
    made = {OPTION: "sql"} if load.grammar and record.tables else {}
    return {**server.body(record.messages, schema, {**made, **arm.options}), "cache_salt": salt, **load.fields}
