#!/usr/bin/env bash
# Runs every notebook under Colab's versions: those of constraints-colab.txt first, then what the
# notebooks' first cell adds, without dependencies. Nothing of Colab's may be replaced by that.
#     tools/colab.sh PYTHON VENV WORKERS
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$1 venv=$2 workers=$3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' ||
  { echo "error: Colab ships Python 3.13; '$python' is another. Try: make colab COLAB_PYTHON=..." >&2; exit 1; }
"$python" -m venv --clear "$venv"
pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install -c constraints-colab.txt setuptools pandas scikit-learn joblib tqdm \
  torch numpy scipy matplotlib plotly ipywidgets pillow ipython ipykernel nbclient nbformat
"${pip[@]}" freeze | sort >"$venv/before.txt"
"${pip[@]}" install --no-deps pot mlxtend normflows .
"${pip[@]}" freeze | sort >"$venv/after.txt"
lost=$(comm -23 "$venv/before.txt" "$venv/after.txt")
[ -z "$lost" ] || { echo "error: replaced or removed: $lost" >&2; exit 1; }
"${pip[@]}" install -c constraints-colab.txt pytest pytest-xdist nbval pyyaml pybtex
env -u PYTHONPATH OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q -n "$workers" --dist loadscope \
  --nbval-lax --nbval-cell-timeout=600 -o filterwarnings=default -p no:cacheprovider notebooks
# The way of a reader there: the first cell's own clone and installation, a data set from a server
# of this machine, no other network.
env -u PYTHONPATH OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest -q -p no:cacheprovider \
  -o filterwarnings=default tests/tools/test_user_paths.py -k on_colab
