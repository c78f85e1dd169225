"""What the terminal and the page both say of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from latticework.adapters.cli.explain_words import quoted
from latticework.plugins.trace_file import Drafted, Step, Token, Trace, Written


@dataclass(frozen=True)
class Totals:
    """A trace in numbers; of ``forced`` and ``counted`` tokens the first are all that had one legal choice."""

    written: int
    forced: int
    counted: int
    drafted: int
    accepted: int
    steps: int
    seconds: float


def totals(trace: Trace) -> Totals:
    """Everything added up."""
    written = list(trace.written)
    drafted = [node for step in trace.steps for node in step.drafted]
    return Totals(
        written=len(written),
        forced=sum(token.forced for token in written),
        counted=sum(token.legal is not None for token in written),
        drafted=len(drafted),
        accepted=sum(node.accepted for node in drafted),
        steps=len(trace.steps),
        seconds=trace.seconds,
    )


def facts(trace: Trace) -> list[tuple[str, str]]:
    """A trace as labelled lines."""
    sums = totals(trace)
    lines = [
        ("request", f"{trace.id}, {trace.engine}, {trace.started}"),
        ("prompt", f"{trace.prompt_tokens} tokens"),
        ("constraint", f"{trace.constraint}, kept by {trace.grammar}" if trace.constraint else "none that is known"),
        ("drafter", trace.drafter or "none"),
        ("answer", f"{sums.written} tokens in {sums.steps} steps{_rate(sums)}, ended by {trace.finish}"),
    ]
    if sums.counted:
        lines.append(("forced", f"{sums.forced} of {sums.counted} tokens ({sums.forced / sums.counted:.0%})"))
    if sums.drafted:
        rejected = sums.drafted - sums.accepted
        lines.append(("drafted", f"{sums.drafted} tokens: {sums.accepted} accepted, {rejected} rejected"))
    lines.append(("time", f"{duration(sums.seconds)}, {_first(trace)}"))
    if trace.unrecorded:
        lines.append(("not recorded", f"{trace.unrecorded} more tokens: the trace was full"))
    return lines


def shown(token: Token) -> str:
    """What a token writes, all of it visible."""
    if token.name is not None:
        return token.name
    return quoted(token.raw) if token.text is not None else f"#{token.id}"


def about(step: Step, number: int, token: Written) -> Iterator[str]:
    """A written token in a few phrases."""
    yield f"token {token.id}"
    yield legality(token)
    if token.draft is not None:
        yield f"{drafting(step.drafted[token.draft])} and accepted"
    elif step.rejected:
        yield "the model's own choice, where a draft ended or was rejected"
    else:
        yield "the model's own choice"
    yield of_step(step, number)


def about_rejected(step: Step, number: int, node: Drafted) -> Iterator[str]:
    """A rejected one."""
    yield f"token {node.id}"
    yield legality(node)
    yield f"{drafting(node)} and rejected"
    yield of_step(step, number)


def legality(token: Token) -> str:
    """How many tokens were legal."""
    if token.legal is None:
        return "legal tokens not counted"
    return "forced: the only legal token" if token.legal == 1 else f"{token.legal:,} tokens were legal"


def drafting(node: Drafted) -> str:
    """Who drafted a token, and how sure that was."""
    who = f"drafted by {node.by.replace('+', ' or ') or 'an unnamed drafter'}"
    return f"{who} (chance {node.score:.0%})" if node.score is not None and node.score < 1 else who


def of_step(step: Step, number: int) -> str:
    """A step and its time; they are numbered from 1."""
    drafting_time = f" after {duration(step.draft_seconds)} of drafting" if step.draft_seconds else ""
    batch = f", {step.batch} requests together" if step.batch > 1 else ""
    waited = " since it arrived" if number == 1 else ""
    tokens = "1 token" if len(step.written) == 1 else f"{len(step.written)} tokens"
    return f"step {number}: {tokens} in {duration(step.seconds)}{waited}{drafting_time}{batch}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.1f} ms" if seconds >= 0.001 else f"{1e6 * seconds:.0f} µs"


def _rate(sums: Totals) -> str:
    return f" ({sums.written / sums.steps:.2f} a step)" if sums.steps else ""


def _first(trace: Trace) -> str:
    if not trace.steps:
        return "nothing was written"
    first, rest = trace.steps[0], trace.steps[1:]
    mean = f", {duration(sum(step.seconds for step in rest) / len(rest))} a step after it" if rest else ""
    return f"{duration(first.seconds)} until the first token{mean}"
