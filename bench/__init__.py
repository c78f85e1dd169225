"""Benchmarks that anyone can run: what they measure, and how their numbers are drawn."""
