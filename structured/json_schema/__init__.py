"""JSON Schema documents of every draft, read into one form."""
