"""What SGLang 0.5.23 needs to run on a machine without a GPU. See the README one folder up.

Importing this package imports neither torch nor SGLang.
"""
