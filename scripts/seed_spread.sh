#!/bin/sh
# Does it matter to a training which kernels it runs on? The same trainings with the convolutions as they are and with
# direct ones alone, for several seeds, which also change the split: the best validation Dice of each.
# usage: seed_spread.sh DATASET [SEEDS [option of `segnas3d train`...]]
set -eu
data=$(realpath "$1")
seeds=${2:-4}
shift
[ $# -eq 0 ] || shift
cd "$(dirname "$0")/.."

for build in release direct; do
    flags=
    [ $build = release ] || flags=-DSN_CONV_DIRECT_ONLY
    cmake -G Ninja -S . -B build/spread-$build -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DCMAKE_C_FLAGS="$flags" \
        >/dev/null
    cmake --build build/spread-$build --target segnas3d >/dev/null
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

dice() { # BUILD SEED OPTION...
    build=$1
    seed=$2
    shift 2
    "build/spread-$build/segnas3d" train "$data" -o "$folder/model.safetensors" --seed "$seed" "$@" 2>/dev/null |
        awk '/^mean validation Dice/ {print $NF}'
    rm -f "$folder/model.safetensors"
}

echo "seed  as it is  direct"
seed=1
while [ "$seed" -le "$seeds" ]; do
    printf '%4d  %8s  %6s\n' "$seed" "$(dice release "$seed" "$@")" "$(dice direct "$seed" "$@")"
    seed=$((seed + 1))
done
