"""The ``latticework`` command."""
