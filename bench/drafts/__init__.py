"""Replaying recorded answers through drafters: what each would have gained, with no model and no engine."""
