#!/usr/bin/env bash
# Runs the tests of what touches PyTorch and transformers on the lowest and highest of both that this package claims.
#
#   tools/test_versions.sh [TORCH/TRANSFORMERS ...]      for example: tools/test_versions.sh 2.6.0/5.17.0
#
# Without arguments: all that stand in VERSIONS. Each PyTorch gets an environment of its own in .cache/versions
# (VERSIONS_AT names another place; 2 to 6 GB each, with PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu 1 GB),
# which stays there for the next run: to undo it, rm -r .cache/versions. PYTHON names the Python to make them with,
# PYTEST_ARGUMENTS what is run instead of the tests below. What needs ROS is not run, nor
# what needs torchao, which follows PyTorch closely: 0.18 cannot be imported on 2.6.
set -uo pipefail

VERSIONS=(2.6.0/5.17.0 2.6.0/5.23.0 2.14.1/5.17.0 2.14.1/5.23.0)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
at=${VERSIONS_AT:-$root/.cache/versions}
tests=${PYTEST_ARGUMENTS:-test/models test/vision test/memory test/test_stream.py test/test_stream_answers.py}

install() {  # $1: PyTorch, $2: transformers
  local venv=$at/torch-$1
  mkdir -p "$at"
  # what is pinned for one PyTorch or transformers stands in another's way
  grep -vE '^(torch|sympy|transformers|huggingface-hub|tokenizers|safetensors|ros-.*)==' "$root/requirements/constraints.txt" \
    >"$at/constraints.txt"
  [[ -x $venv/bin/pip ]] || "${PYTHON:-python3}" -m venv --clear "$venv" || return
  "$venv/bin/pip" install --quiet -c "$at/constraints.txt" "torch==$1" "transformers==$2" \
    -r <(grep -vhE '^torch|^transformers' "$root"/requirements/{core,test}.txt)
}

[[ $# -gt 0 ]] && VERSIONS=("$@")
results=() failed=0
for pair in "${VERSIONS[@]}"; do
  torch=${pair%/*} transformers=${pair#*/} log=$at/torch-${pair/\//-transformers-}.log
  echo "torch $torch, transformers $transformers" >&2
  if ! install "$torch" "$transformers" >&2; then
    said='could not be installed'
    failed=1
  else
    # shellcheck disable=SC2086  # several words
    (cd "$root" && "$at/torch-$torch/bin/python" -m pytest -q -p no:cacheprovider $tests) >"$log" 2>&1 || failed=1
    said=$(tail -1 "$log" | tr -d =)
    grep -E '^(FAILED|ERROR)' "$log" >&2
  fi
  results+=("$(printf '%-10s %-14s %s' "$torch" "$transformers" "$said")")
done
printf '%-10s %-14s %s\n' torch transformers tests
printf '%s\n' "${results[@]}"
exit $failed
