"""Cachers, one file each: which vision features are recomputed, and which reused."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
