"""Benchmarks against real servers. Numbers are printed with machine, model and spread."""
