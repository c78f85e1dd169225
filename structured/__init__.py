"""What may be written, and how to search for the best of it.

>>> from latticework.structured import GrammarSpec, Vocabulary, compile_grammar
>>> vocabulary = Vocabulary.from_tokenizer_json("tokenizer.json", eos_token="<|im_end|>")
>>> grammar = compile_grammar(GrammarSpec.regex("[a-z]+@[a-z]+[.]com"), vocabulary)
>>> matcher = grammar.matcher()
"""

from latticework.structured.engines.base import CompiledGrammar, GrammarEngine, Matcher
from latticework.structured.engines.select import compile_grammar
from latticework.structured.errors import (
    BudgetExceededError,
    GrammarError,
    LatticeworkError,
    UnsupportedGrammarError,
)
from latticework.structured.limits import GrammarLimits
from latticework.structured.spec import GrammarKind, GrammarSpec
from latticework.structured.vocabulary import Vocabulary

__all__ = [
    "BudgetExceededError",
    "CompiledGrammar",
    "GrammarEngine",
    "GrammarError",
    "GrammarKind",
    "GrammarLimits",
    "GrammarSpec",
    "LatticeworkError",
    "Matcher",
    "UnsupportedGrammarError",
    "Vocabulary",
    "compile_grammar",
]
