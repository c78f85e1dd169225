"""Each engine in a process of its own: a hung or crashed engine costs one schema, and its memory can be told apart."""
