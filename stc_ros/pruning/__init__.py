"""Pruners, one file each: which visual tokens are sent to the language model."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
