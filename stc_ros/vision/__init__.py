"""From pictures to visual tokens: the vision encoder, and the cachers that let it reuse features."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
