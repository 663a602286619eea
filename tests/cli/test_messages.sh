#!/bin/sh
# Wrong usage and bad input: one line that names what is wrong, the documented exit code, nothing half-written.
# usage: test_messages.sh PROGRAM
set -eu
program=$1
. "$(dirname "$0")/expect.sh"

for command in check search train predict evaluate inspect devices synth; do
    expect 0 '' --help
    output_has "  $command "
    expect 0 '' "$command" --help
    output_has "Usage: segnas3d $command "
    output_has "  -h, --help "
    expect 0 '' "$command" -h
    expect 2 "segnas3d: $command: unknown option \"--no-such-option\"*" "$command" --no-such-option
    error_is_one_line
done
expect 0 '' --version
grep -qx 'segnas3d [0-9]*\.[0-9]*\.[0-9]*' out || fail "version: $(cat out)"

expect 2 'Usage: segnas3d COMMAND*'
expect 2 'segnas3d: unknown command "trian"; did you mean train?' trian
expect 2 'segnas3d: unknown command "export"; `segnas3d --help` lists them' export
expect 2 'segnas3d: check: an argument is missing; usage: segnas3d check DATASET' check
expect 2 'segnas3d: search: option --output STUDY is missing*' search data
expect 2 'segnas3d: search: option --epochs: "many" is not an integer from 1 to 1000000' search data -o s --epochs many
expect 2 'segnas3d: search: option --iterations: "0" is not an integer*' search data -o s --iterations 0
expect 2 'segnas3d: train: give one of --study, --arch and --net' train data -o m
expect 2 'segnas3d: train: option --net: "resnet" is not one of unet3d|vnet' train data -o m --net resnet
expect 2 'segnas3d: train: option --memory: "lots" is not an amount of memory*' train data -o m --memory lots
expect 2 'segnas3d: synth: option --count: "0" is not an integer*' synth a b -n 0 -o c
expect 2 'segnas3d: evaluate: --picture FILE.png and --images DIR go together' \
    evaluate --reference a --prediction b --picture c.png
expect 2 'segnas3d: inspect: give one of *' inspect
expect 2 'segnas3d: inspect: give one of *' inspect --net vnet --arch n=8
expect 2 'segnas3d: inspect: option --size: auto needs a data set*' inspect --net vnet --size auto
expect 2 'segnas3d: *n=0*' inspect --arch n=0
[ ! -e s ] && [ ! -e m ] && [ ! -e c ] || fail "wrong usage left files: $(ls)"

expect 3 'segnas3d: *nowhere*' check nowhere
expect 3 'segnas3d: *nowhere*' train nowhere -o m --net vnet
error_is_one_line
expect 3 'segnas3d: *nowhere*' search nowhere -o s
error_is_one_line
expect 3 'segnas3d: nowhere*' predict nowhere image.nii.gz -o p
expect 3 'segnas3d: *nowhere*' evaluate --reference nowhere --prediction nowhere
expect 3 'segnas3d: nowhere*' inspect nowhere
expect 3 'segnas3d: *nowhere*' synth nowhere.nii nowhere.nii -o c
[ ! -e m ] && [ ! -e p ] && [ ! -e c ] || fail "bad input left files: $(ls)"
mkdir data
echo '{"name": "x",' >data/dataset.json
expect 3 'segnas3d: data/dataset.json:2: not valid JSON*' check data
echo 'this is no model' >model.safetensors
expect 3 'segnas3d: model.safetensors*' inspect model.safetensors
expect 3 'segnas3d: model.safetensors*' predict model.safetensors image.nii.gz -o p

# An illegal architecture is an answer, not an error.
expect 0 '' inspect --arch ops=0,2,0 --json
output_has '"legal": false'
# What cannot be printed is not done.
if [ -w /dev/full ]; then
    got=0
    "$program" inspect --arch n=8 --size 16 >/dev/full 2>err || got=$?
    [ "$got" -eq 1 ] || fail "a full standard output gave exit code $got"
fi
finish
