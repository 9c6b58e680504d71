#!/usr/bin/env bash
# For a machine without a ROS 2: puts launch, launch_ros and launch_testing, which PyPI does not have (its `launch` is
# something else), from their public repositories beside the rclpy of PyPI, into .cache/ros_launch. They are plain
# Python: nothing is built or installed. ./dev test then runs test/launch, too. To undo it: rm -r .cache/ros_launch
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$root/.cache/ros_launch
python=$root/.venv/bin/python

# The commits that were tried, of 2024-12: they lie between Jazzy and Kilted, whose rclpy is PyPI's.
launch=02595bafc7891d4d287667b6aa9161edf738e9f3      # 3.7.1
launch_ros=2ddcc227358e393507d09b56e19f27f8bd1e1a14  # 0.28.0

get() {  # $1: repository, $2: commit
  local at=$cache/src/$1
  [[ $(git -C "$at" rev-parse HEAD 2>/dev/null) == "$2" ]] && return
  rm -rf "$at"
  git init --quiet "$at"
  if ! git -C "$at" fetch --quiet --depth 1 "https://github.com/ros2/$1" "$2"; then
    echo "$0: ros2/$1 cannot be fetched from GitHub: check the network, or source a ROS 2 instead." >&2
    exit 1
  fi
  git -C "$at" -c advice.detachedHead=false checkout --quiet FETCH_HEAD
}

[[ -x $python ]] || { echo "$0: there is no environment yet: run ./dev build first." >&2; exit 1; }
get launch "$launch"
get launch_ros "$launch_ros"

rm -rf "$cache/python"
mkdir -p "$cache/python/composition_interfaces"
ln -s ../src/launch/launch/launch ../src/launch/launch_testing/launch_testing ../src/launch_ros/launch_ros/launch_ros \
  "$cache/python"
# launch_ros imports it for containers of C++ nodes, which are not used here; its messages would have to be built.
printf 'class LoadNode:\n    class Request: ...\n' >"$cache/python/composition_interfaces/srv.py"
"$python" -m pip install --quiet --disable-pip-version-check --target "$cache/python" osrf-pycommon==2.0.2

PYTHONPATH=$cache/python "$python" -c 'import launch, launch_testing, launch_testing.actions'
echo "ready: ./dev test test/launch (elsewhere: export PYTHONPATH=\$PYTHONPATH:$cache/python)"
