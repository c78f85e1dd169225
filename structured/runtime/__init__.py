"""The mask runtime: one lazily discovered configuration graph per grammar serves masks, steps and forced text."""
