"""JSON for our own engine: a schema, or any object."""

from __future__ import annotations

import logging

from latticework.structured.errors import one_line
from latticework.structured.json_machine import json_source
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.protocol import PushdownSource
from latticework.structured.spec import GrammarKind, GrammarSpec

logger = logging.getLogger("latticework.structured")

_ANY_OBJECT = {"type": "object"}


def json_document_source(spec: GrammarSpec, limits: GrammarLimits) -> PushdownSource:
    """The source of either JSON kind. Raises like :func:`latticework.structured.json_machine.json_source`.

    What ``on_unsupported="warn"`` left out of the schema is logged.
    """
    schema = spec.payload if spec.kind is GrammarKind.JSON_SCHEMA else _ANY_OBJECT
    source = json_source(schema, spec.options, limits=limits, field=spec.kind)
    for pointer, keyword, reason in source.dropped:
        logger.warning("%s: not enforced, %s", spec.kind, one_line(f"{pointer}: keyword {keyword!r}: {reason}"))
    return source
