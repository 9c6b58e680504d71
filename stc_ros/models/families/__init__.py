"""Model families, one file each: what is their own, as a `VideoModel`."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
