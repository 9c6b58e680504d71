"""Data sets that a stream is asked about, one file each; `python -m stc_ros.evaluation.run --list` names them."""
