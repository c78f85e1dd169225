"""Grammar engines: ours (``lattice``) and the wrapped ones, behind one contract, and the choice between them."""

from latticework.structured.engines.select import (
    AUTO_ORDER,
    BUILTIN_ENGINES,
    Fallback,
    add_fallback_listener,
    cache_info,
    clear_cache,
    compile_grammar,
    remove_fallback_listener,
)

__all__ = [
    "AUTO_ORDER",
    "BUILTIN_ENGINES",
    "Fallback",
    "add_fallback_listener",
    "cache_info",
    "clear_cache",
    "compile_grammar",
    "remove_fallback_listener",
]
