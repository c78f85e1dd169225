"""Grammars that people write, in both dialects: texts that belong to them and texts that do not."""

from __future__ import annotations

import pytest

from latticework.structured.cfg.compiling import compile_gbnf, compile_lark
from latticework.structured.engines.grammar_syntax import is_gbnf
from latticework.structured.limits import GrammarLimits
from latticework.structured.pushdown.automaton import PushdownAutomaton

LIMITS = GrammarLimits()

# The grammar that llama.cpp ships.
JSON_GBNF = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}" ws
array  ::= "[" ws (value ("," ws value)*)? "]" ws
string ::= "\"" ([^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}))* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"""

# Lark's own example.
JSON_LARK = r"""
?start: value
?value: object | array | string
      | SIGNED_NUMBER      -> number
      | "true"             -> true
      | "false"            -> false
      | "null"             -> null
array  : "[" [value ("," value)*] "]"
object : "{" [pair ("," pair)*] "}"
pair   : string ":" value
string : ESCAPED_STRING
%import common.ESCAPED_STRING
%import common.SIGNED_NUMBER
%import common.WS
%ignore WS
"""

ARITHMETIC_GBNF = r"""
root   ::= expr
expr   ::= expr ("+" | "-") term | term
term   ::= term ("*" | "/") factor | factor
factor ::= "-" factor | atom "^" factor | atom   # right-associative
atom   ::= "(" expr ")" | [0-9]+ ("." [0-9]+)? | [a-z]+
"""

AMBIGUOUS_GBNF = r"""
root ::= e
e    ::= e "+" e | e "*" e | "(" e ")" | [0-9]+
"""

AMBIGUOUS_LARK = r"""
start: e
e: e "+" e | e "*" e | "(" e ")" | INT
%import common.INT
%ignore " "
"""

SQL_LARK = r"""
start: (select | insert) ";"?
select: "SELECT"i "DISTINCT"i? columns "FROM"i table join* where? group? order? limit?
columns: "*" | column ("," column)*
column: expr ("AS"i NAME)?
table: NAME ("AS"i? NAME)? | "(" select ")" "AS"i? NAME
join: ("INNER"i | "LEFT"i "OUTER"i?)? "JOIN"i table "ON"i expr
where: "WHERE"i expr
group: "GROUP"i "BY"i expr ("," expr)* ("HAVING"i expr)?
order: "ORDER"i "BY"i expr ("ASC"i | "DESC"i)? ("," expr ("ASC"i | "DESC"i)?)*
limit: "LIMIT"i INT
insert: "INSERT"i "INTO"i NAME ("(" NAME ("," NAME)* ")")? "VALUES"i row ("," row)*
row: "(" expr ("," expr)* ")"
expr: expr "OR"i conj | conj
conj: conj "AND"i neg | neg
neg: "NOT"i neg | comparison
comparison: sum (("=" | "<>" | "<" | "<=" | ">" | ">=" | "LIKE"i) sum)?
          | sum "IS"i "NOT"i? "NULL"i
          | sum "NOT"i? "IN"i "(" (expr ("," expr)* | select) ")"
          | sum "NOT"i? "BETWEEN"i sum "AND"i sum
sum: sum ("+" | "-" | "||") product | product
product: product ("*" | "/") primary | primary
primary: NAME ("." (NAME | "*"))? | NAME "(" ("DISTINCT"i? expr ("," expr)* | "*")? ")"
       | INT | FLOAT | STRING | "NULL"i | "(" expr ")"
NAME: /[A-Za-z_][A-Za-z0-9_]*/
STRING: /'([^'\n]|'')*'/
INT: /[0-9]+/
FLOAT: /[0-9]+\.[0-9]*([eE][+-]?[0-9]+)?/
%ignore /[ \t\r\n]+/
%ignore /--[^\n]*/
"""

C_LARK = r"""
start: declaration+
declaration: specifier+ (declarator ("=" initializer)? ("," declarator ("=" initializer)?)*)? ";"
specifier: "const" | "static" | "unsigned" | "int" | "char" | "double" | "void"
         | "struct" ID ("{" field+ "}")?
field: specifier+ declarator ("," declarator)* ";"
declarator: "*"* direct
direct: ID | "(" declarator ")" | direct "[" INT? "]" | direct "(" (param ("," param)*)? ")"
param: specifier+ declarator?
initializer: sum | "{" initializer ("," initializer)* ","? "}"
sum: sum ("+" | "-") product | product
product: product ("*" | "/") unary | unary
unary: ("-" | "&" | "*") unary | ID | INT | STR | "(" sum ")"
ID: /[A-Za-z_]\w*/
INT: /[0-9]+/
STR: /"([^"\\\n]|\\.)*"/
%ignore /\s+/
%ignore /\/\/[^\n]*/
%ignore /\/\*(.|\n)*?\*\//
"""

PYTHON_LARK = r"""
?start: test
?test: or_test ("if" or_test "else" test)? | "lambda" (NAME ("," NAME)*)? ":" test
?or_test: and_test ("or" and_test)*
?and_test: not_test ("and" not_test)*
?not_test: "not" not_test | comparison
?comparison: arith (comp_op arith)*
!comp_op: "<" | ">" | "==" | ">=" | "<=" | "!=" | "in" | "not" "in" | "is" | "is" "not"
?arith: term (("+" | "-") term)*
?term: factor (("*" | "/" | "%" | "//") factor)*
?factor: ("+" | "-" | "~") factor | power
?power: primary ("**" factor)?
?primary: atom | primary "(" _list{argument}? ")" | primary "[" _list{subscript} "]" | primary "." NAME
argument: test | NAME "=" test | "*" test
subscript: test | test? ":" test?
?atom: "(" _list{test}? ")" | "[" (test comp_for | _list{test})? "]" | "{" _list{pair}? "}"
     | NAME | NUMBER | STRING+ | "None" | "True" | "False" | "..."
pair: test ":" test
comp_for: "for" NAME "in" or_test ("if" or_test)*
_list{item}: item ("," item)* ","?
NAME: /[a-zA-Z_]\w*/
NUMBER: /[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+/
STRING: /"([^"\\\n]|\\.)*"|'([^'\\\n]|\\.)*'/
%ignore /[ \t\n]+/
"""

CASES = {
    "json gbnf": (
        JSON_GBNF,
        ["{}", '{"a": [1, -2.5e3, {"b": null}], "ü\\u00e9": "x\\n"} ', '{"a":\n\t[]}'],
        ["[1]", '{"a":1,}', '{"a":01}', '{"a"  :1}', '{"a":"\\x"}', "{", '{"a":1}}', '{a:1}'],
    ),
    "json lark": (
        JSON_LARK,
        [" {}", "[ ]", '{"a": [1, -2.5e3, {"b": null}], "ü": "x\\"y"}\n', "-.5", "true"],
        ['{"a":1,}', "[1 2]", '{"a"}', "tru", "nulll", '"a\nb"', "[1]]", ""],
    ),
    "arithmetic": (
        ARITHMETIC_GBNF,
        ["1+2*(3-x)^2", "--3", "a/b/c", "((12.5))", "2^-x^3"],
        ["1+", "1.5.2", "()", "1 + 2", "x2", "*3"],
    ),
    "ambiguous gbnf": (AMBIGUOUS_GBNF, ["1+2*3+4", "(1)*(2+3)"], ["1++2", "(1", "1)", ""]),
    "ambiguous lark": (AMBIGUOUS_LARK, ["1 + 2*3+ 4 ", " (1)*(2+3)"], ["1 2", "1+", "( )"]),
    "sql": (
        SQL_LARK,
        [
            "select a, b from t where x = 1",
            "SELECT COUNT(*) AS n FROM users u LEFT JOIN o ON u.id = o.uid WHERE name LIKE 'O''Hara%' "
            "AND age BETWEEN 1 AND 2.5 GROUP BY u.id HAVING COUNT(*) > 3 ORDER BY n DESC, m LIMIT 10;",
            "SELECT t.* FROM (SELECT * FROM x) AS t -- all of it\nWHERE a IS NOT NULL OR b NOT IN (1, 2)",
            "INSERT INTO t (a, b) VALUES (1, 'x'), (2, NULL)",
            "select selection from fromage",
        ],
        [
            "select from t",
            "select a b c from t",
            "SELECT a FROM t WHERE",
            "SELECT a, FROM t",
            "SELECT 'a FROM t",
            "SELECT a FROM t LIMIT x",
            "select a from t; select",
        ],
    ),
    "c declarations": (
        C_LARK,
        [
            "int x = 3, *p[10];",
            "static const char *f(int a, char **b), (*g)(void) = &h;",
            "struct s { int a; double b[2]; } x = { 1, { 2, y*3 }, };",
            "int /* a comment */ z; // the end\nint naïve;",
            "unsigned int intx;",
        ],
        ["int 3x;", "int x", "x;", "int x = ;", "struct { int a; } x;", "int x /* never closed", "int x[3;"],
    ),
    "python expressions": (
        PYTHON_LARK,
        [
            "[x*2 for x in range(10) if x > 3]",
            "lambda a, b: a if a else {'k': b[1:2, :], }",
            "not a and b or c**-2 is not d",
            "a.b.c(1, *x, k=2)[0]",
            "1..real + .5",
            "nothing not in notation",
            "'a' \"b\"",
        ],
        ["f(", "x = 1", "a b", "[1, 2", "for x in y", "a is is b", "'abc", "lambda 1: 2"],
    ),
}


def accepts(automaton, text):
    state = automaton.start()
    for byte in text.encode():
        state = automaton.step(state, byte)
        if state is None:
            return False
    return automaton.accepts(state)


def automaton_of(grammar):
    source = (compile_gbnf if is_gbnf(grammar) else compile_lark)(grammar, LIMITS)
    return PushdownAutomaton(source) if hasattr(source, "resume") else source


@pytest.fixture(scope="module", params=CASES)
def case(request):
    grammar, good, bad = CASES[request.param]
    return automaton_of(grammar), good, bad


def test_texts_that_belong_are_accepted(case):
    automaton, good, _ = case
    assert [text for text in good if not accepts(automaton, text)] == []


def test_texts_that_do_not_belong_are_refused(case):
    automaton, _, bad = case
    assert [text for text in bad if accepts(automaton, text)] == []


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("ambiguous")])
def test_usual_grammars_are_deterministic(name):
    grammar = CASES[name][0]
    source = (compile_gbnf if is_gbnf(grammar) else compile_lark)(grammar, LIMITS)
    assert hasattr(source, "resume"), "not an LR(1) machine"
