"""Prometheus metrics of the capabilities, all prefixed ``latticework_``.

Labels are bounded: names come from installed plugins, from the settings and from fixed enumerations, never from a
request. ``arm`` names the arms of a request's experiments (``drafting/fusion+search/off``), empty without any. In
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
GRAMMAR_CACHE = Counter(
    "latticework_grammar_cache_total", "Look-ups of compiled grammars; result: hit, miss.", ["result"]
)
GRAMMARS_KEPT = Gauge("latticework_grammars_kept", "Compiled grammars kept.", multiprocess_mode="livesum")
MASK_SECONDS = Histogram(
    "latticework_mask_seconds",
    "Wall time of one mask; one in 31 is timed. Ready masks take microseconds, cold ones show in the upper buckets.",
    ["engine"],
    buckets=(2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2, 0.1),
)
MASK_BYTES = Gauge(
    "latticework_mask_bytes",
    "Memory of what masks are made of; what: lexeme_masks, tables.",
    ["what"],
    multiprocess_mode="livesum",
)
LEXEME_MASKS_MADE = Counter(
    "latticework_lexeme_masks_made_total", "Lexeme masks computed: the cold part of masks, shared by all grammars."
)
DRAFT_STEPS = Counter("latticework_draft_steps_total", "How often a drafter was asked.", ["drafter", "arm"])
DRAFT_SECONDS = Counter("latticework_draft_seconds_total", "Time that drafters took.", ["drafter", "arm"])
DRAFT_TOKENS = Counter("latticework_draft_tokens_total", "Tokens drafted: nodes of trees.", ["drafter", "arm"])
DRAFT_ACCEPTED_TOKENS = Counter(
    "latticework_draft_accepted_tokens_total", "Drafted tokens accepted.", ["drafter", "arm"]
)
DRAFT_HELD_BACK_TOKENS = Counter(
    "latticework_draft_held_back_tokens_total", "Drafted tokens that were not verified because it would not have paid."
)
FORCED_TOKENS = Counter("latticework_forced_tokens_total", "Drafted tokens that a grammar forced.", ["drafter", "arm"])
MATCHER_DESYNCS = Counter(
    "latticework_matcher_desyncs_total",
    "Requests whose grammar refused a token the engine had committed; they are drafted for without a grammar.",
)
ERRORS = Counter("latticework_errors_total", "Exceptions of plugins, isolated.", ["role", "plugin"])
SESSIONS = Gauge("latticework_sessions", "Requests with a live session.", ["process"], multiprocess_mode="livesum")
SEARCHES = Counter("latticework_searches_total", "Searches; outcome: ok, fallback, cancelled.", ["search", "outcome"])
SEARCH_CANDIDATES = Counter(
    "latticework_search_candidates_total",
    "Candidate answers written by searches; all but one of each are given up.",
    ["search"],
)
SEARCH_TOKENS = Counter("latticework_search_tokens_total", "Tokens of these candidates.", ["search"])
PROCESSOR_ROWS = Counter("latticework_processor_rows_total", "Rows of logits processed.", ["processor"])
PROCESSOR_SECONDS = Counter("latticework_processor_seconds_total", "Time that took.", ["processor"])
AB_UNFIT = Counter(
    "latticework_ab_unfit_total",
    "Requests served without their arm's options, which did not fit them.",
    ["experiment", "arm"],
)
AB_ASSIGNMENTS = Counter(
    "latticework_ab_assignments_total",
    "Requests by the arm that serves them; why: assigned, forced (by the request), diverted (its own arm has tripped).",
    ["experiment", "arm", "why"],
)
AB_REQUESTS = Counter(
    "latticework_ab_requests_total",
    "Requests of an arm that have ended; result: ok, error, refused, cancelled. Only assigned ones are counted.",
    ["experiment", "arm", "result"],
)
AB_ANSWERS = Counter(
    "latticework_ab_answers_total",
    "Constrained answers; complete: whether the text ended where its constraint lets it end.",
    ["experiment", "arm", "complete"],
)
AB_SECONDS = Histogram(
    "latticework_ab_seconds",
    "Time from a request's arrival to the end of its answer.",
    ["experiment", "arm"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0),
)
AB_FIRST_TOKEN_SECONDS = Histogram(
    "latticework_ab_first_token_seconds",
    "Time from a request's arrival to its first token, where the engine shows it.",
    ["experiment", "arm"],
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
AB_TOKENS_PER_SECOND = Histogram(
    "latticework_ab_tokens_per_second",
    "Tokens of an answer over the time of the whole request.",
    ["experiment", "arm"],
    buckets=(1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0),
)
AB_MEASURE_COUNT = Counter(
    "latticework_ab_measure_count_total",
    "Values of a measure: seconds, first_token, tokens_per_second, tokens.",
    ["experiment", "arm", "measure"],
)
AB_MEASURE_SUM = Counter(
    "latticework_ab_measure_sum_total",
    "Sum of the natural logarithms of a measure's values, in millionths.",
    ["experiment", "arm", "measure"],
)
AB_MEASURE_SQUARES = Counter(
    "latticework_ab_measure_squares_total",
    "Sum of the squares of the same logarithms.",
    ["experiment", "arm", "measure"],
)
AB_SHARE = Gauge(
    "latticework_ab_share",
    "Planned share of an arm in the traffic of its experiment; 0: it has ended.",
    ["experiment", "arm"],
    multiprocess_mode="livemostrecent",
)
AB_TRIPPED = Gauge(
    "latticework_ab_tripped",
    "1: a guardrail has tripped and the arm's traffic goes to control.",
    ["experiment", "arm"],
    multiprocess_mode="livemax",
)
AB_TRIPS = Counter("latticework_ab_trips_total", "Guardrails that have tripped.", ["experiment", "arm", "guardrail"])
SETTINGS_LOADS = Counter(
    "latticework_settings_loads_total",
    "How often the settings were read by front ends; outcome: ok, broken.",
    ["outcome"],
)
SETTINGS_BROKEN = Gauge(
    "latticework_settings_broken",
    "1: the settings file is wrong, and the last good state is in force.",
    multiprocess_mode="livemax",
)
REQUEST_LOG_DROPPED = Counter("latticework_request_log_dropped_total", "Lines that could not be written.")
TRACES = Counter(
    "latticework_traces_total",
    "Requests that asked for a trace; outcome: written, busy (too many at once: served without one), failed.",
    ["outcome"],
)
