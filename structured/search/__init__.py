"""Searching for the best of what may be written."""
