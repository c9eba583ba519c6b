"""Task sources: distributions over tasks, each task a pure function of (seed, index)."""
