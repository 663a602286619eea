#!/bin/sh
# Speed and memory beside PyTorch and oneDNN: make bench, or make bench-full, which adds 128x128x128 where it fits and
# takes hours. Tables on stdout, progress on stderr, numbers also in build/bench.json and build/bench_layers.json.
# usage: bench.sh [full]; make hands these on in the environment:
#   ONLY     words that all occur in what is measured, "SegNAS4 48x64x48" or "layer k5": make bench ONLY=SegNAS4
#   THREADS  of every engine (default 2)
#   ROUNDS   each measures everything once (default 3, of at least 2 steps each)
#   TORCH    what pip installs (default torch==2.13.0)
# Python and PyTorch are for this comparison alone and stay in build/bench-python. Let the machine do nothing else.
# Waiting threads do what OMP_WAIT_POLICY says; where it is not set, OpenMP's default holds, the same for all.
set -eu
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1

scripts/setup.sh bench
cmake --preset release -DBUILD_TESTING=OFF
cmake --build --preset release --target segnas3d bench_step bench_layers

python=build/bench-python/bin/python
if ! $python -c 'import torch' 2>/dev/null; then
    python3 -m venv build/bench-python
    # PyTorch's own index has the build without CUDA.
    $python -m pip install -q --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu \
        "${TORCH:-torch==2.13.0}"
fi

processor=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
memory=$(awk '/^MemTotal/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)
echo "$processor, $(nproc) cores, $memory; commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
$python -c 'import torch; print("PyTorch", torch.__version__)' 2>/dev/null
exec $python bench/compare.py --threads "${THREADS:-2}" --rounds "${ROUNDS:-3}" --only "${ONLY:-}" \
    ${1:+--full}
