"""Evaluation: data sets, controls, metrics, reports."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
