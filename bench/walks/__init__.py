"""``latticework bench walks``: random documents that the masks allow, judged by a validator."""
