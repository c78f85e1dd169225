"""Ready-made output languages: sources of their parts, builders of their constraints, parsers of what was written."""
