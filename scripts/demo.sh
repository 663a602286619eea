#!/bin/sh
# The whole way, from labelled volumes to segmentations: make demo, or make demo DATA=folder with a dataset.json;
# make hands DATA on in the environment. Each command is printed before it runs. Interrupted, the demo goes on where
# it was.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/build:$PATH"

# Print a command, then run it.
run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

templates=/usr/share/mricron/templates
if [ -n "${DATA:-}" ]; then
    data=${DATA%/}
    out=demo/$(basename "$data")
    space=segnas4 size=auto iterations=20 batch=3 search_epochs=10 epochs=60
else
    data=demo/data
    out=demo
    space=examples/small_space.json size=auto iterations=12 batch=1 search_epochs=3 epochs=70 # ten training cases: small steps
    if [ ! -e "$data/dataset.json" ]; then
        scripts/setup.sh demo
        echo "1. A cohort: Debian's labelled brain (package mricron-data), deformed twenty times."
        mkdir -p "$out"
        run segnas3d synth $templates/ch2.nii.gz $templates/aal.nii.gz -o "$data" -n 20 --spacing 4 \
            --structures examples/aal_merged.json
    fi
fi
mkdir -p "$out"

printf '\n2. Is the data set sound?\n'
run segnas3d check "$data"

printf '\n3. A search for the best network, much shorter than a real one.\n'
run segnas3d search "$data" -o "$out/study" --space $space --size $size \
    --iterations $iterations --batch $batch --epochs $search_epochs

printf '\n4. The winner, trained for longer.\n'
run segnas3d train "$data" -o "$out/model.safetensors" --study "$out/study" --size $size \
    --batch $batch --epochs $epochs

printf '\n5. The cases that no training has seen.\n'
run segnas3d predict "$out/model.safetensors" "$data" --split test -o "$out/predictions"

printf '\n6. How good is it?\n'
run segnas3d evaluate --reference "$data/labelsTr" --prediction "$out/predictions" --dataset "$data" --partial \
    --picture "$out/demo.png" --images "$data/imagesTr"

printf '\nThe picture: %s\nThe numbers: %s\nThe model:   %s\n' "$out/demo.png" "$out/predictions/summary.json" \
    "$out/model.safetensors"
