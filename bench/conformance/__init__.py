"""``latticework bench conformance``: the official JSON Schema test suite, engine by engine and draft by draft."""
