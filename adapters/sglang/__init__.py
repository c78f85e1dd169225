"""latticework inside SGLang. Importing this package imports neither SGLang nor torch: every SGLang process does it."""
