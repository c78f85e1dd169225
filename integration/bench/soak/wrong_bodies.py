"""Bodies that an engine itself must refuse, whatever latticework does: broken, oversized, of wrong types."""

from __future__ import annotations

import json
from typing import Any

_ASKED = [{"role": "user", "content": "Is the sky blue?"}]


def _body(**fields: Any) -> str:
    return json.dumps({"model": "{model}", "messages": _ASKED, "max_tokens": 4, **fields})


#: ``{model}`` stands for the model's name.
BODIES: dict[str, str] = {
    "no JSON": '{"model": "{model}", "messages": [',
    "not an object": "[1, 2, 3]",
    "messages of the wrong type": _body(messages=3),
    "temperature of the wrong type": _body(temperature="warm"),
    "max_tokens of the wrong type": _body(max_tokens="many"),
    "longer than the context": _body(messages=[{"role": "user", "content": "river " * 6000}]),
    "options of the wrong type": _body(vllm_xargs="lw_drafter", custom_params="lw_drafter"),
}

#: What an engine itself answers with a 500 where a 400 would be right, with latticework and without: SGLang 0.5.23 asks
#: a list for its fields (``openai/protocol.py``, ``set_json_schema``).
FAULTS_OF_ENGINES = {"sglang": frozenset({"not an object"})}
