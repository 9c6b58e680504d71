"""The Fast DDS profile with which images above 512 KiB arrive, and the variable that names it."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = 'FASTDDS_DEFAULT_PROFILES_FILE'


def profile() -> Path:
    """The file, installed or in the repository."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        share = Path(get_package_share_directory('stc_ros'))
    except PackageNotFoundError:  # run from the repository
        share = Path(__file__).parents[2]
    return share / 'config' / 'fastdds.xml'


def set_default() -> None:
    """Use it, unless the user has named another; before rclpy is imported."""
    if VARIABLE not in os.environ and (file := profile()).is_file():
        os.environ[VARIABLE] = str(file)
