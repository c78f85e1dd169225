"""``latticework bench masks``: how fast, how right and how large the masks of each engine are, on real schemas."""
