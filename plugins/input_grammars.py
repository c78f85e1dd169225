"""The constraint that a request's ``lw_grammar`` makes out of its input: what both adapters call.

An adapter calls :func:`grammar_for_request` once, in the front end and before it looks at the request's own constraint,
and puts what comes back into the engine's field for that kind of constraint. From there on the request is like any
other: the engine process compiles the same text, and two requests share a grammar exactly if theirs are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latticework.plugins.base import Role
from latticework.plugins.guard import isolatable, report
from latticework.plugins.inputs import RequestInput
from latticework.plugins.options import RequestOptions
from latticework.plugins.registry import Registry, registry
from latticework.plugins.requests import PREFIX
from latticework.structured.errors import LatticeworkError
from latticework.structured.spec import GrammarSpec

#: The request option that names a factory.
OPTION = PREFIX + Role.GRAMMAR


def grammar_for_request(
    options: RequestOptions, request: RequestInput, own: str | None, plugins: Registry | None = None
) -> GrammarSpec | None:
    """The constraint that the request's options make out of its input; ``None`` if they ask for none.

    Args:
        options: The request's.
        request: Its input.
        own: The field of a constraint that the request carries itself, ``None`` if it has none.
        plugins: Default: the installed ones.

    Raises:
        LatticeworkError: The request has a constraint already, the input does not fit, or the plugin failed.
    """
    selection = options.grammar
    if selection is None:
        return None
    if own is not None:
        raise LatticeworkError(OPTION, f"the request has a constraint of its own ({own}); send only one of the two")
    try:
        spec = (plugins or registry()).factory(Role.GRAMMAR, selection.name).create(selection.options).grammar(request)
    except LatticeworkError as error:
        raise _named(error, type(selection.options).model_fields) from error
    except BaseException as error:
        if not isolatable(error):
            raise
        report(Role.GRAMMAR, selection.name, error, "its request is refused")
        raise LatticeworkError(OPTION, f"{selection.name!r} failed on this request ({type(error).__name__})") from error
    if not isinstance(spec, GrammarSpec):
        report(Role.GRAMMAR, selection.name, TypeError(f"gave a {type(spec).__name__}"), "its request is refused")
        raise LatticeworkError(OPTION, f"{selection.name!r} gave no constraint")
    return spec


def without_options(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a request carries, without the options that made its constraint: they have done their work."""
    return {key: value for key, value in extra.items() if key != OPTION and not key.startswith(f"{OPTION}_")}


def _named(error: LatticeworkError, fields: object) -> LatticeworkError:
    """The same error, its field as the client spells it where it is one of the plugin's options."""
    if isinstance(fields, dict) and error.field in fields:
        return type(error)(f"{OPTION}_{error.field}", error.reason)
    return error
