"""Cachers, one file each: which vision features are recomputed, and which reused."""
