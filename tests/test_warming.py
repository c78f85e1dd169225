"""After the warm-up no constraint waits for a compiler: counted, in a fresh process, as numba's loops see types."""

import json
import subprocess
import sys

CODE = r"""
import gc, itertools, json, sys
from numba.core.dispatcher import Dispatcher
from latticework.bench.cases import BUILTIN, read_cases
from latticework.structured import GrammarLimits, GrammarSpec, LatticeworkError, Vocabulary
from latticework.structured.bitmask import words
from latticework.structured.engines.lattice import LatticeEngine
from latticework.structured.engines.warming import warm_up
import numpy as np

PAIRS = [bytes(pair) for pair in itertools.product(b'aeinrst ":,{}[]0123', repeat=2)]
vocabulary = Vocabulary([*(bytes([byte]) for byte in range(256)), None, *PAIRS], [256])

def loops():
    found = {}
    for one in gc.get_objects():
        if isinstance(one, Dispatcher) and one.py_func.__module__.startswith("latticework.structured"):
            found[f"{one.py_func.__module__}.{one.py_func.__name__}"] = set(map(str, one.signatures))
    return found

def write(spec, text):
    try:
        matcher = LatticeEngine().compile(spec, vocabulary, GrammarLimits()).matcher()
    except LatticeworkError:
        return
    row = np.zeros(words(vocabulary.size), np.int32)
    for token_id in vocabulary.trie.longest_match(text.encode()):
        matcher.fill_bitmask(row)
        matcher.forced_tokens()
        if not matcher.accept(token_id):
            break
    matcher.fork()

warm_up()
before = loops()
assert sum(map(bool, before.values())) > 20
cases = list(BUILTIN)
if len(sys.argv) > 1:
    from pathlib import Path
    cases += read_cases(Path(sys.argv[1]), 60)
for case in cases:
    for instance in case.instances[:2]:
        write(GrammarSpec.json_schema(case.schema), instance.text)
write(GrammarSpec.json_object(), '{"a": [1]}')
write(GrammarSpec.regex("(foo|ba{2,30}r)+ [^x]"), "foobaaar é")
write(GrammarSpec.choice(["one", "two", "twofold"]), "two")
write(GrammarSpec.grammar('start: NAME ("=" start)?\nNAME: /[a-z]+/\n'), "a=b")
after = loops()
print(json.dumps({name: sorted(types - before.get(name, set())) for name, types in after.items()
                  if types - before.get(name, set())}))
"""


def check_nothing_is_compiled(*arguments):
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_no_loop_is_compiled_after_the_warm_up():
    check_nothing_is_compiled()


def test_real_schemas_compile_no_loop_after_the_warm_up(data_directory):
    check_nothing_is_compiled(str(data_directory / "jsonschema" / "dev.jsonl.gz"))
