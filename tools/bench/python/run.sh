#!/usr/bin/env bash
# Runs bench.py in an environment with Kadlet's wheel (cargo xtask dist) and the others.
set -euo pipefail
cd "$(dirname "$0")/../../.."
venv=target/bench-venv
[[ -x $venv/bin/python ]] || python3 -m venv "$venv"
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" --force-reinstall --no-deps target/dist/*.whl
"${pip[@]}" "kademlia==2.2.3"
"${pip[@]}" "opendht==4.4.2" || echo "opendht cannot be had here: left out" >&2
exec "$venv/bin/python" tools/bench/python/bench.py "$@"
