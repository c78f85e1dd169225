"""Fixtures for tests against real engines."""
