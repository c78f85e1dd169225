"""Experiments inside a live deployment: who gets which arm, what came of it, and when an arm is taken back."""
