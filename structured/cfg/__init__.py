"""Context-free grammars: readers of GBNF and Lark, and the machines that serve what was read."""
