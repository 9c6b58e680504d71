"""What makes the stream fast: reuse of vision features (cacher) and choice of visual tokens (pruner)."""
