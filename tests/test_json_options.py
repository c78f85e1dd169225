"""The options of JSON constraints: part of a grammar's identity, and refused by engines that do not honour them."""

from __future__ import annotations

import pytest

from latticework.structured.engines.select import BUILTIN_ENGINES
from latticework.structured.errors import UnsupportedGrammarError
from latticework.structured.json_options import SCHEMA_ORDER, JsonOptions, OnUnsupported, Order, Whitespace
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarSpec
from latticework.structured.vocabulary import Vocabulary

BYTES = Vocabulary([bytes([byte]) for byte in range(256)] + [b""], eos_ids=[256])
OTHER_OPTIONS = [
    SCHEMA_ORDER,
    JsonOptions(whitespace=Whitespace.COMPACT),
    JsonOptions(whitespace=Whitespace.FLEXIBLE),
    JsonOptions(assert_formats=False),
]


def test_options_are_part_of_the_key() -> None:
    options = [*OTHER_OPTIONS, JsonOptions(), JsonOptions(on_unsupported=OnUnsupported.WARN)]
    for make in (lambda o: GrammarSpec.json_schema({"type": "object"}, o), GrammarSpec.json_object):
        keys = [make(option).key for option in options]
        assert len(set(keys)) == len(options)
        assert keys == [make(option).key for option in options]


def test_servers_offer_declared_order_on_one_line() -> None:
    assert GrammarSpec.json_schema({}).options == JsonOptions(Order.DECLARED, Whitespace.LINE)
    assert GrammarSpec.json_schema({}).key == GrammarSpec.json_schema({}, JsonOptions()).key


@pytest.mark.parametrize("engine", ["llguidance", "xgrammar"])
@pytest.mark.parametrize("options", OTHER_OPTIONS, ids=lambda option: option.key)
def test_other_engines_refuse_what_they_do_not_honour(engine: str, options: JsonOptions) -> None:
    for spec in (GrammarSpec.json_schema({"type": "object"}, options), GrammarSpec.json_object(options)):
        with pytest.raises(UnsupportedGrammarError, match=engine):
            BUILTIN_ENGINES[engine].compile(spec, BYTES, GrammarLimits())
