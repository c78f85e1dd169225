"""Prometheus metrics of the capabilities, all prefixed ``latticework_``.

Labels are bounded: names come from installed plugins and from fixed enumerations, never from a request. In
multiprocess mode (``PROMETHEUS_MULTIPROC_DIR``) counters add up and the gauges are sums over live processes; the
variable must be set before the first import of ``prometheus_client`` in the process, as for any of its users.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

GRAMMAR_COMPILES = Counter(
    "latticework_grammar_compiles_total",
    "Grammars compiled, by the engine that did (or refused) it; outcome: ok, invalid, unsupported, budget, crashed.",
    ["engine", "kind", "outcome"],
)
GRAMMAR_COMPILE_SECONDS = Histogram(
    "latticework_grammar_compile_seconds",
    "Wall time of one successful compilation.",
    ["engine", "kind"],
    buckets=(0.0005, 0.002, 0.01, 0.05, 0.2, 1.0, 5.0, 20.0),
)
GRAMMAR_FALLBACKS = Counter(
    "latticework_grammar_fallbacks_total",
    "Constraints that an engine could not enforce in full and the next one served.",
    ["from_engine", "to_engine", "kind"],
)
DRAFT_TOKENS = Counter("latticework_draft_tokens_total", "Tokens drafted.", ["drafter"])
DRAFT_ACCEPTED_TOKENS = Counter("latticework_draft_accepted_tokens_total", "Drafted tokens accepted.", ["drafter"])
FORCED_TOKENS = Counter("latticework_forced_tokens_total", "Drafted tokens that a grammar forced.")
MATCHER_DESYNCS = Counter(
    "latticework_matcher_desyncs_total",
    "Requests whose grammar refused a token the engine had committed; they are drafted for without a grammar.",
)
ERRORS = Counter("latticework_errors_total", "Exceptions of plugins, isolated.", ["role", "plugin"])
SESSIONS = Gauge("latticework_sessions", "Requests with a live session.", ["process"], multiprocess_mode="livesum")
SEARCHES = Counter("latticework_searches_total", "Searches; outcome: ok, fallback, cancelled.", ["search", "outcome"])
SEARCH_CANDIDATES = Counter("latticework_search_candidates_total", "Candidate answers written by searches.")
