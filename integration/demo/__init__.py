"""The demo: the same structured requests to stock vLLM and to vLLM with latticework, measured side by side."""
