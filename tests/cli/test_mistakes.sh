#!/bin/sh
# What a newcomer does wrong on real files: the answer names the file and the fix, and nothing is left or lost.
# On cohorts of Debian's labelled brain with voxels of 16 mm. Skipped without that package.
# usage: test_mistakes.sh PROGRAM REPOSITORY
set -eu
program=$1
root=$2
. "$(dirname "$0")/cohort.sh"

nothing_left() {
    for path; do
        [ ! -e "$path" ] || fail "$path is left"
    done
}

net="n=2 p=1 sup=0 res=0 nodes=2 ops=2"
train() { # CODE PATTERN DATASET MODEL OPTION...
    code=$1
    pattern=$2
    data=$3
    model=$4
    shift 4
    expect "$code" "$pattern" train "$data" -o "$model" --arch "$net" --size 16 --epochs 1 --threads 1 "$@"
}

echo '{"n": {"lower": 1, "upper": 3}, "p": 1, "sup": 0, "res": 0, "nodes": 2, "ops": [2]}' >space.json
search="--space space.json --size 16 --epochs 1 --threads 1 --iterations 2"

# ---- data ----

cohort 6 data
cohort 2 few
expect 3 'segnas3d: few/dataset.json: 1 fault; *' check few
output_has 'few/dataset.json: 2 labelled cases; '
train 3 'segnas3d: few/dataset.json: 2 cases cannot be split into 3 parts; add cases' few m
expect 3 'segnas3d: few/dataset.json: 2 cases *' search few -o s $search
for case in missing short value; do
    cp -r data $case
done
rm missing/labelsTr/case_003.nii.gz
train 3 'segnas3d: missing/labelsTr/case_003.nii.gz: *add the file*' missing m
head -c 2000 short/imagesTr/case_003.nii.gz >part && mv part short/imagesTr/case_003.nii.gz
sed -i 's/"1":/"99":/' value/dataset.json
for case in missing short value; do
    expect 3 "segnas3d: $case/dataset.json: *" check $case
    output_has "fault: $case/"
    expect 3 "segnas3d: $case/*.nii.gz: *" search $case -o s $search
    error_is_one_line
    train 3 "segnas3d: $case/*.nii.gz: *" $case m
    error_is_one_line
done
expect 3 'segnas3d: data/imagesTr/case_000.nii.gz: not a data set; *' check data/imagesTr/case_000.nii.gz
expect 2 'segnas3d: check: an argument is empty; *' check ''
nothing_left s m m.part

# ---- places ----

mkdir own own/models && echo precious >own/models/mine
expect 2 "segnas3d: own: holds files that are not a study's; *" search data -o own $search
[ -e own/models/mine ] || fail 'a file of the user was removed'
train 2 'segnas3d: train: option --output: "own" is a folder; *' data own
train 2 'segnas3d: train: option --output: "new/" is a folder; *' data new/
train 2 "segnas3d: data/dataset.json: exists *" data data/dataset.json
train 1 'segnas3d: /proc/m.part: cannot *' data /proc/m
expect 1 'segnas3d: /proc/s: cannot *' search data -o /proc/s $search
(ulimit -f 16 && train 1 'segnas3d: m.part/cache/*: cannot write: File too large; *' data m && finish) ||
    fail 'a limit of the size of files'
nothing_left new m m.part
expect 2 'segnas3d: train: option --memory: "16" is not *' train data -o m --net vnet --memory 16
expect 3 'segnas3d: none.json: *' search data -o s $search --splits none.json
nothing_left s m

# ---- a study and its data ----

expect 0 '*' search data -o s $search
expect 2 'segnas3d: s: this study was begun with split *' search data -o s $search --cases 3
cohort 7 other
expect 2 'segnas3d: s: this study was begun with dataset *' search other -o s $search
expect 3 'segnas3d: s: a folder; *' predict s data -o p
expect 2 'segnas3d: inspect: --dot *' inspect s --dot
expect 3 'segnas3d: own: not a study*' train data -o m --study own --size 16
nothing_left m m.part p

# ---- a model and its images ----

mkdir 'größe 1' && ln -s "$PWD/data" 'größe 1/data'
train 0 '*' 'größe 1/data/' 'größe 1/m.safetensors'
model='größe 1/m.safetensors'
expect 0 '*' predict "$model" data/ --split val -o 'größe 1/p/'
ls 'größe 1/p' | grep -q nii || fail 'no prediction in a folder with a space'
cp -r data kept
for place in imagesTr labelsTr; do
    expect 2 "segnas3d: predict: the result would replace data/$place/*" \
        predict "$model" data --split all -o data/$place
done
diff -r data kept || fail 'an input was replaced'
expect 2 'segnas3d: predict: the results of data/* and kept/* have one name; *' \
    predict "$model" data/imagesTr/case_000.nii.gz kept/imagesTr/case_000.nii.gz -o p
expect 3 'segnas3d: none of the 2 images *b.nii.gz: *' predict "$model" a.nii.gz b.nii.gz -o p
expect 3 'segnas3d: short/imagesTr/case_003.nii.gz: truncated*' predict "$model" short/imagesTr/case_003.nii.gz -o p
expect 2 'segnas3d: predict: a name is missing *' predict "$model" data/imagesTr/case_000.nii.gz, -o p
mkdir two && sed 's/"0": "image"/"0": "a", "1": "b"/' data/dataset.json >two/dataset.json
expect 3 "segnas3d: two/dataset.json: images of 2 channels, the model * expects 1" predict "$model" two -o p
head -c 5000 "$model" >short.safetensors
expect 3 'segnas3d: short.safetensors: *' predict short.safetensors data -o p
LC_ALL=C sed 's/\\"split\\"/\\"splat\\"/' "$model" >split.safetensors
expect 3 'segnas3d: split.safetensors: field "split" is missing*' predict split.safetensors data -o p
nothing_left p

# ---- one at a time; stopped ----

"$program" train data -o long --arch "$net" --size 16 --epochs 100000 --threads 1 >/dev/null 2>log &
pid=$!
while [ ! -e long.part/checkpoint ] && kill -0 $pid; do
    sleep 0.1
done
expect 1 "segnas3d: long.part: process $pid is working here; *" \
    train data -o long --arch "$net" --size 16 --epochs 100000 --threads 1
train 1 "segnas3d: long.part: process $pid is working here; *" data long
kill -INT $pid
got=0
wait $pid || got=$?
[ "$got" -eq 130 ] || fail "an interrupted training gave exit code $got"
grep -q '^segnas3d: interrupted; the same command goes on$' log || fail "interrupted: $(tail -n 1 log)"
train 2 'segnas3d: long.part: holds an unfinished training *' data long

# Closed standard streams take no file's place.
got=0
"$program" check few >/dev/null 2>&- || got=$?
[ "$got" -eq 3 ] || fail "without standard error the exit code is $got"
finish
