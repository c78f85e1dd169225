"""Everything around a real engine: the model, CPU platform support, server tests, benchmarks and the demo.

Nothing here is part of the wheel. Run the modules from the root of the repository, for instance
``python -m integration.model``.
"""
