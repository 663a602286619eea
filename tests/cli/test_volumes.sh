#!/bin/sh
# The commands on volumes: a cohort of Debian's labelled brain on a very coarse grid. Skipped without that package.
# usage: test_volumes.sh PROGRAM REPOSITORY
set -eu
program=$1
root=$2
. "$(dirname "$0")/cohort.sh"

cohort 3 data 8
expect 3 'segnas3d: *data*exists*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 3 -o data --spacing 8
error_is_one_line
expect 0 '*' check data
output_has '0 faults, 0 warnings'
expect 0 '*' check data --json
output_has '"faults": 0'

# A prediction that is the truth: Dice 1, HD95 0; the summary beside it; a picture.
cp -r data/labelsTr predicted
expect 0 '*' evaluate --reference data/labelsTr --prediction predicted --dataset data \
    --picture picture.png --images data/imagesTr
output_has 'thalamus'
grep -q 'mean of the labels *1.0000 *0.00 ' out || fail "truth against itself: $(cat out)"
[ "$(od -An -c -N 4 picture.png | tr -d ' ')" = '211PNG' ] || fail 'picture.png is no PNG'
grep -q '"Dice": 1.0' predicted/summary.json || fail 'summary.json lacks Dice 1.0'
expect 0 '*' evaluate --reference data/labelsTr --prediction predicted --json --output elsewhere.json
output_has '"foreground_mean"'
cmp -s out elsewhere.json || fail '--json and --output differ'

# A missing prediction: refused, or counted.
rm predicted/case_001.nii.gz
expect 3 'segnas3d: *case_001*' evaluate --reference data/labelsTr --prediction predicted
expect 0 '*' evaluate --reference data/labelsTr --prediction predicted --partial
output_has "1 true label map without a prediction"
expect 3 'segnas3d: *case_000*--images' evaluate --reference data/labelsTr --prediction predicted --partial \
    --picture other.png --images predicted/..
[ ! -e other.png ] || fail 'other.png was half-written'
expect 1 'segnas3d: nowhere/x.json: cannot write: *' evaluate --reference data/labelsTr --prediction predicted \
    --partial --output nowhere/x.json

# Faults in the data: named, exit code 3.
rm data/labelsTr/case_002.nii.gz
expect 3 'segnas3d: data/dataset.json: 1 fault; mend *' check data
output_has 'fault: '
output_has 'case_002'
head -c 3000 data/imagesTr/case_000.nii.gz >short && mv short data/imagesTr/case_000.nii.gz
expect 3 'segnas3d: data/dataset.json: 2 faults; mend *' check data
output_has 'case_000'

# A folder in which nobody can write.
expect 1 'segnas3d: /proc/*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 1 -o /proc/segnas3d/data --spacing 16
error_is_one_line
finish
