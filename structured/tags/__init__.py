"""Structural tags as a pushdown source: free text, markers and special tokens around documents and patterns."""
