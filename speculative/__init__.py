"""Guessing ahead and verifying the guesses."""
