#!/bin/sh
# The main job in small: search, train, predict, evaluate; going on after an interruption; repeating bit for bit.
# On a cohort of Debian's labelled brain with voxels of 16 mm. Skipped without that package.
# usage: test_journey.sh PROGRAM REPOSITORY
set -eu
program=$1
root=$2
. "$(dirname "$0")/cohort.sh"

cohort 6 data
echo '{"n": {"lower": 1, "upper": 4}, "p": 1, "sup": 0, "res": {"lower": 0, "upper": 2}, "nodes": 2, "ops": [2]}' \
    >space.json
search="search data --space space.json --size auto --epochs 1 --threads 1"

# A search of 4 points; one of 2 points that goes on to 4 ends the same.
expect 0 '*' $search -o whole --iterations 4
output_has 'whole/best.safetensors'
expect 0 '*' $search -o parts --iterations 2
expect 0 '*' $search -o parts --iterations 4
same_way whole parts
expect 0 '*' $search -o wide --iterations 4 --workers 3
output_has 'speed-up'
same_way whole wide
expect 0 '*' inspect whole
output_has 'best '
expect 2 'segnas3d: *seed*' $search -o whole --iterations 4 --seed 2
error_is_one_line
expect 2 'segnas3d: whole: this study was begun with algorithm "crs", now algorithm is "esch"; *' \
    $search -o whole --iterations 4 --algorithm esch
error_is_one_line
find whole -type f ! -name lock -exec cksum {} + >before.txt
expect 2 'segnas3d: *size*' $search -o whole --iterations 4 --size 12
find whole -type f ! -name lock -exec cksum {} + >after.txt
cmp -s before.txt after.txt || fail "a refused command changed the study: $(diff before.txt after.txt)"
expect 2 'segnas3d: *--memory*' $search -o tight --iterations 4 --memory 1K
[ ! -e tight ] || fail 'a search that cannot begin left files'

# From an earlier study: its best network comes first, with its model; where another one is the best and the earlier
# study has not kept its model, that is trained again.
best=$("$program" inspect whole --json | sed -n '/^  "best"/,$s/.*"arch": "\(.*\)".*/\1/p' | head -n 1)
other='{"n": {"lower": 1, "upper": 4}, "p": 1, "sup": 0, "nodes": 2, "ops": [2], "res": '
case $best in
*res=1*) echo "${other}0}" >other.json ;;
*) echo "${other}1}" >other.json ;;
esac
warm="search data --size auto --epochs 1 --threads 1 --warm-start whole"
expect 0 '*' $warm --space space.json --iterations 1 -o warm
output_has 'trainings taken over            1'
cmp -s whole/best.safetensors warm/best.safetensors || fail 'the model of the best network was not taken over'
expect 0 '*' $warm --space other.json --iterations 12 -o warm-other
expect 0 '*' inspect warm-other/best.safetensors

# What a space says of the training is found, written down, and had again by train, whose key is the trial's.
echo '{"n": 2, "p": 1, "sup": 0, "nodes": 2, "ops": [2], "learning_rate": {"lower": 1e-4, "upper": 1e-2},
    "dropout": {"lower": 0, "upper": 0.3}, "loss_exponent": 0.5}' >real.json
expect 0 '*' search data --space real.json --size auto --epochs 1 --threads 1 -o real --iterations 3
expect 0 '*' train data -o real.safetensors --study real --size auto --epochs 1 --threads 1
"$program" inspect real --json | sed -n '/^  "best"/,/}/p' >best.txt
key=$(sed -n 's/.*"network": "\(.*\)".*/\1/p' best.txt)
grep -qa "key[^,]*$key" real.safetensors || fail "train --study trained another network than the trial: $(cat best.txt)"
arch=$(sed -n 's/.*"arch": "\(.*\)".*/\1/p' best.txt)
expect 0 '*trained already*' train data -o real.safetensors --arch "$arch" --size auto --epochs 1 --threads 1
expect 2 'segnas3d: real: this study was begun with loss_exponent 0.*, now *' \
    search data --space real.json --size auto --epochs 1 -o real --iterations 3 --loss-exponent 0.5
expect 2 'segnas3d: real.json: "loss_exponent": the loss dice-ce has none; leave it out' \
    search data --space real.json --size auto --epochs 1 -o other --loss dice-ce

# Three trainings at once, killed with their search: all go on from their checkpoints, and it ends as one by one. Of as
# many epochs as it takes that no machine has ended them before they are looked at.
search="search data --space space.json --size auto --epochs 400 --threads 1 --iterations 5"
expect 0 '*' $search -o calm
"$program" $search -o killed --workers 3 >/dev/null 2>&1 &
running=$!
while [ "$(find killed/models -name '*.checkpoint' 2>/dev/null | wc -l)" -lt 2 ]; do
    kill -0 $running 2>/dev/null || break
    sleep 0.01
done
kill -KILL $running || true
wait $running || true
[ "$(find killed/models -name '*.checkpoint' | wc -l)" -ge 2 ] || fail 'no checkpoints of several trainings'
expect 0 '*' $search -o killed --workers 3
same_way calm killed

# The winner, trained with one thread and with two: the same model but for the time it took.
train="train data --study whole --size auto --epochs 2"
expect 0 '*' $train -o one.safetensors --threads 1
output_has 'mean validation Dice'
expect 0 '*' $train -o two.safetensors --threads 2
expect 0 '*' $train -o one.safetensors --threads 1
grep -q 'trained already' err || fail "a finished training was begun again: $(cat err)"
expect 2 'segnas3d: one.safetensors: *' $train -o one.safetensors --seed 7
[ ! -e one.safetensors.part ] || fail 'the state of a finished training was left'

# A training that is under way, or was interrupted, is safe from other commands with its name.
long="train data --arch n=2 --size auto --epochs 1000000 -o long.safetensors"
"$program" $long >/dev/null 2>&1 &
running=$!
while [ ! -e long.safetensors.part/checkpoint ]; do
    kill -0 $running || break
    sleep 0.1
done
expect 1 "segnas3d: long.safetensors.part: process $running *" $long
kill $running
got=0
wait $running || got=$?
[ "$got" -eq 130 ] || fail "an interrupted training ended with exit code $got"
expect 2 'segnas3d: long.safetensors.part: *' $long --seed 2
error_is_one_line
[ -e long.safetensors.part/checkpoint ] || fail 'the state of an interrupted training was lost'

# An image that does not fit is named, and leaves nothing.
expect 1 "segnas3d: $templates/ch2.nii.gz: its * voxels need * MiB with one.safetensors even in tiles of *; raise --memory" \
    predict one.safetensors $templates/ch2.nii.gz -o tight --memory 1M
[ ! -e tight ] || fail 'a prediction that does not fit left files'

# Predictions on the images' own grids, the same of both models.
expect 0 '*' predict one.safetensors data --split test -o first
expect 0 '*' predict two.safetensors data --split test -o second --threads 2
diff -r first second >/dev/null || fail 'one and two threads predict differently'
expect 0 '*' evaluate --reference data/labelsTr --prediction first --dataset data --partial
output_has 'mean of the labels'
expect 4 '*' predict one.safetensors data/imagesTr/case_000.nii.gz nowhere.nii.gz -o third
[ -e third/case_000.nii.gz ] || fail 'the image that is there was not segmented'
expect 3 'segnas3d: *nowhere*' predict one.safetensors nowhere.nii.gz -o third
# An image that is a pair of files, header and voxels: the result is one file, with the same labels.
zcat data/imagesTr/case_000.nii.gz >pair.nii
expect 0 '*' predict one.safetensors pair.nii -o single
head -c 348 pair.nii >pair.hdr
tail -c +353 pair.nii >pair.img
printf '\0\0\0\0' | dd of=pair.hdr bs=1 seek=108 conv=notrunc 2>/dev/null # the voxels begin at 0
printf 'ni1' | dd of=pair.hdr bs=1 seek=344 conv=notrunc 2>/dev/null
expect 0 '*' predict one.safetensors pair.hdr -o double
tail -c +353 single/pair.nii >single.txt
tail -c +353 double/pair.nii >double.txt
cmp -s single.txt double.txt || fail 'an image in two files is segmented in another way'
expect 0 '*' inspect one.safetensors
output_has 'architecture'

# A budget below what a network needs: blocks are computed twice, the program says so, and the weights are the same.
arch='n=8 p=2 sup=1 res=1'
"$program" inspect --arch "$arch" --size 32 --classes 9 --json >needs.json
kept=$(sed -n 's/.*"train_peak_bytes": \([0-9]*\).*/\1/p' needs.json)
twice=$(sed -n 's/.*"train_peak_recomputed_bytes": \([0-9]*\).*/\1/p' needs.json)
[ "$twice" -lt "$kept" ] || fail "blocks computed twice need no less: $(cat needs.json)"
train="train data --size 32 --epochs 1"
expect 0 '*' $train --arch "$arch" -o enough.safetensors
! grep -q 'blocks are computed twice' err || fail "without need: $(cat err)"
expect 0 '*blocks are computed twice*' $train --arch "$arch" -o tight.safetensors --memory $(((kept + twice) / 2048))K
for model in enough tight; do
    expect 0 '*' predict $model.safetensors data --split test -o $model
done
diff -r enough tight >/dev/null || fail 'blocks computed twice give other weights'

# A budget that nothing fits.
expect 1 'segnas3d: *memory*' train data -o big.safetensors --net vnet --size auto --epochs 1 --memory 1M
error_is_one_line
[ ! -e big.safetensors ] && [ ! -e big.safetensors.part ] || fail 'a training that cannot begin left files'
finish
