#!/bin/sh
# Does an optimiser beat luck on a data set? Trains each of the 96 networks of bench/luck_space.json once, shortly and
# small, which may take hours and goes on where it was interrupted; then replays the optimisers on what they gave.
# Tables on stdout, progress on stderr, the figure in build/luck/figure.svg.
# usage: luck.sh DATASET [OPTION OF segnas3d search...], by default --size 24 --cases 60 --epochs 10 --batch 1
set -eu
data=$(realpath "${1:?usage: luck.sh DATASET [OPTION...]}")
shift
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- --size 24 --cases 60 --epochs 10 --batch 1

scripts/setup.sh
cmake --preset release -DBUILD_TESTING=OFF >&2
cmake --build --preset release --target segnas3d bench_luck >&2
mkdir -p build/luck
# Of 1000 random points each of 96 is one with a probability of 99.7 %; repeated ones cost nothing.
build/segnas3d search "$data" -o build/luck/study --space bench/luck_space.json --algorithm random --iterations 1000 \
    "$@" >&2
exec build/bench/bench_luck build/luck/study build/luck/figure.svg
