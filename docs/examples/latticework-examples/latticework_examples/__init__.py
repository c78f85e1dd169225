"""One plugin of each kind for latticework, to copy from."""
