"""Data sets that a stream is asked about, one file each; `python -m stc_ros.evaluation.run --list` names them."""

__path__ = __import__('pkgutil').extend_path(__path__, __name__)  # parts may lie elsewhere on the path, too
