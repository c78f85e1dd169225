"""One OpenTelemetry span for each request that a front end watches, where the engine traces.

The engine sets the exporter up, and decides whether anything is traced at all; without OpenTelemetry, or where tracing
is off, nothing happens here.
"""

from __future__ import annotations

from collections.abc import Mapping

NAME = "latticework.request"


def record(headers: Mapping[str, str], seconds: float, end_ns: int, attributes: Mapping[str, str | bool | int]) -> None:
    """Record a span that has ended.

    Args:
        headers: The client's, in lower case; ``traceparent`` makes the span a child of the client's.
        seconds: How long it took.
        end_ns: When it ended, nanoseconds since the epoch.
        attributes: What is known of it. No text of prompts or answers.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
    except ImportError:
        return
    context = TraceContextTextMapPropagator().extract(headers)
    start = end_ns - int(seconds * 1e9)
    span = trace.get_tracer("latticework").start_span(NAME, context=context, start_time=start, attributes=attributes)
    span.end(end_ns)
