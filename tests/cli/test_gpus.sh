#!/bin/sh
# What the program makes of GPUs: none, broken ones, several that workers or the images of a batch share out. They are made
# up (fake_gpus.c).
# usage: test_gpus.sh PROGRAM REPOSITORY PLUGIN
set -eu
built=$1
root=$2
plugin=$3
. "$(dirname "$0")/expect.sh"

# The program finds its plug-ins beside it.
mkdir bin
cp "$built" bin/segnas3d
program=$folder/bin/segnas3d
net="--arch n=2 --size 16"

# ---- no plug-in, or a wrong one ----

expect 0 '' devices
output_has 'cpu       this processor, '
output_has 'cuda      none: this program was built without CUDA: '
expect 0 '' devices --json
output_has '"gpus": []'
for command in "inspect $net" "train data -o m --arch n=2" "search data -o s" "predict m scan.nii -o p"; do
    expect 1 'segnas3d: device cuda: this program was built without CUDA: *`make cuda`; or use --device cpu' \
        $command --device cuda
    error_is_one_line
    expect 2 'segnas3d: device cpu: it has float32 only, not bf16; *' $command --precision bf16
    for name in cuda: cuda:x cuda:-1 cuda:0, cuda:00000 cuda:1,1 cuda0 gpu ref; do
        expect 2 "segnas3d: ${command%% *}: option --device: \"$name\" is not one of *" $command --device $name
    done
done
for command in "inspect $net" "predict m scan.nii -o p"; do
    expect 2 "segnas3d: ${command%% *}: option --device: \"cuda:0,1\" is not one of cpu|cuda|cuda:N" \
        $command --device cuda:0,1
done
expect 0 '' inspect $net --precision float32
echo 'no library' >bin/segnas3d-cuda.so
expect 1 'segnas3d: device cuda: CUDA cannot be loaded: *' inspect $net --device cuda
error_is_one_line

# ---- GPUs ----

cp "$plugin" bin/segnas3d-cuda.so
expect 1 'segnas3d: device cuda: no GPU can be used: there is no driver; *' inspect $net --device cuda
expect 0 '' devices
output_has 'cuda      none: no GPU can be used: there is no driver'
export FAKE_GPUS="9.0:4096 7.5:2048 8.6:0"
expect 0 '' devices
output_has 'cuda:0    Fake 0, compute capability 9.0, 4.0 of 4.0 GiB free'
output_has 'cuda:2    Fake 2, compute capability 8.6, 0.0 of 0.0 GiB free; cannot be used: it is broken'
expect 0 '' devices --json
output_has '"problem": "it is broken"'
expect 1 'segnas3d: device cuda:3: there is no GPU 3, since there are 3, *' inspect $net --device cuda:3
expect 1 'segnas3d: device cuda:2: Fake 2: it is broken' predict m scan.nii -o p --device cuda:2
error_is_one_line
FAKE_GPUS="9.0:768" expect 1 'segnas3d: device cuda: not even the 768 MiB are free that CUDA takes for itself; *' \
    predict m scan.nii -o p --device cuda
expect 0 'fake GPU 2 opened*' inspect $net --device cuda:2 # planning asks only what it is
output_has '... beside it, a case on the GPU'
expect 0 '' inspect $net --json
output_has '"case_bytes": 0'
expect 2 'segnas3d: device cuda:1: Fake 1 of compute capability 7.5 has no bf16; *' \
    inspect $net --device cuda:1 --precision bf16
# The precision that auto means, as the device is opened with it: 1 float32, 3 bf16.
expect 0 'fake GPU 0 opened, precision 3*' inspect $net --device cuda:0
expect 0 'fake GPU 1 opened, precision 1*' inspect $net --device cuda:1
expect 0 'fake GPU 0 opened, precision 2*' inspect $net --device cuda:0 --precision tf32
# Each of several GPUs is to be there, usable, and of one kind.
train="train data -o m --arch n=2"
expect 1 'segnas3d: device cuda:0,3: there is no GPU 3, since there are 3, *' $train --device cuda:0,3
expect 1 'segnas3d: device cuda:2: Fake 2: it is broken' $train --device cuda:0,2
expect 2 'segnas3d: device cuda:1: Fake 1 of compute capability 7.5 has no tf32; *' \
    $train --device cuda:0,1 --precision tf32
expect 2 'segnas3d: device cuda:0,1: GPU 0 computes by "fake 9.0", GPU 1 by "fake 7.5", *; list GPUs of one kind' \
    $train --device cuda:0,1
error_is_one_line

# ---- trainings, on Debian's labelled brain if it is here ----

templates=/usr/share/mricron/templates
if [ ! -e $templates/ch2.nii.gz ]; then
    echo "trainings were left out: Debian's mricron-data is not installed"
    finish
fi
expect 0 '*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 6 -o data --spacing 16 \
    --structures "$root/examples/aal_merged.json"
echo '{"n": {"lower": 1, "upper": 5}, "p": 1, "sup": 0, "res": 0, "nodes": 2, "ops": [2]}' >space.json
how="--size 16 --epochs 1 --threads 1"
search="search data --space space.json --iterations 5 $how"
export FAKE_GPUS="9.0:4096 9.0:4096 9.0:4096"

# Which GPU it was belongs to no result, that it was one does, and the precision.
train="train data --arch n=2 $how -o model.safetensors"
expect 0 '*' $train --device cuda:0
expect 0 '*trained already*' $train --device cuda:1
expect 2 'segnas3d: model.safetensors: *' $train --device cuda --precision float32
expect 2 'segnas3d: model.safetensors: *' $train
grep -qa 'device[^,]*cuda' model.safetensors || fail 'the model does not say that a GPU trained it'
expect 0 '*' predict model.safetensors data --split test -o maps --device cuda:2

# Several GPUs share the images of each batch: the model of one, for any number of them.
several="train data --arch n=2 --size 16 --threads 1"
# model NAME: the bytes of its tensors, without the header, which has times in it.
model() {
    header=$(od -An -t u8 -N 8 "$1.safetensors" | tr -d ' ')
    tail -c +$((header + 9)) "$1.safetensors" | cksum
}
# opened: the GPUs that the last run opened.
opened() {
    sed -n 's/^fake GPU \([0-9]*\).*/\1/p' err | sort -u | tr '\n' ' '
}
for batch in 2 3; do
    expect 0 '*' $several --epochs 3 --batch $batch -o batch-$batch.safetensors --device cuda:0
    for gpus in 0,1 2,0,1; do
        expect 0 '*' $several --epochs 3 --batch $batch -o batch-$batch-$gpus.safetensors --device cuda:$gpus
        [ "$(opened | wc -w)" -eq "$(echo $gpus | tr , ' ' | wc -w)" ] || fail "not $gpus were used: $(opened)"
        [ "$(model batch-$batch)" = "$(model batch-$batch-$gpus)" ] || fail "GPUs $gpus, batch $batch: another model"
    done
done
cp err gpus.err
grep -q 'warning: of 3 GPUs 1 have nothing' err && fail 'three GPUs have work in a batch of 3'
expect 0 '*trained already*' $several --epochs 3 --batch 2 -o batch-2.safetensors --device cuda:0,1,2
grep -q 'warning: of 3 GPUs 1 have nothing to do but validate, since a batch has 2 images; ' err ||
    fail "it is not said that a GPU is idle: $(cat err)"

# Each keeps the cases that it meets.
for gpu in 0 1 2; do
    grep -q "device cuda:$gpu keeps all 4 cases: " gpus.err || fail "GPU $gpu keeps no cases: $(cat gpus.err)"
done

# Each needs the memory: the budget is that of the one where least is free.
FAKE_GPUS="9.0:4096 9.0:769 9.0:4096" expect 1 'segnas3d: the network needs * and the budget is 1 MiB; *' \
    $several --epochs 3 -o memory.safetensors --device cuda:0,1
FAKE_GPUS="9.0:4096 9.0:769 9.0:4096" expect 0 '*' $several --epochs 1 -o memory.safetensors --device cuda:0,2

# One that fails is named, and ends the training of all; so does a signal. It goes on from there, on other GPUs.
long="$several --epochs 30 --batch 3"
expect 0 '*' $long -o calm.safetensors --device cuda:0
for gpu in 2 0; do
    FAKE_FAILURE=$gpu:25 expect 1 "segnas3d: device cuda:$gpu: cuda: a program: it fell off the bus" \
        $long -o hurt.safetensors --device cuda:0,1,2
    error_is_one_line
    [ -e hurt.safetensors.part/checkpoint ] || fail "GPU $gpu failed: there is nothing to go on from"
done
FAKE_FAILURE=2:25:2 expect 130 'segnas3d: interrupted; the same command goes on' $long -o hurt.safetensors --device cuda:1,2
error_is_one_line
FAKE_FAILURE=1:25:9 expect 137 '*' $long -o hurt.safetensors --device cuda:1,2
expect 0 '*' $long -o hurt.safetensors --device cuda:0,1,2
[ "$(model calm)" = "$(model hurt)" ] || fail 'a training that was cut has another model'

# used STUDY: the GPUs that its workers opened.
used() {
    cat "$1"/log/trial-* | sed -n 's/^fake GPU \([0-9]*\).*/\1/p' | sort -u | tr '\n' ' '
}
expect 0 '*' $search -o one --device cuda:1
[ "$(used one)" = '1 ' ] || fail "not GPU 1 alone was used: $(used one)"
expect 0 '*' $search -o two --device cuda:0,2 --workers 2
[ "$(used two)" = '0 2 ' ] || fail "not GPUs 0 and 2 were used: $(used two)"
expect 0 '*' $search -o all --device cuda --workers 3
[ "$(used all)" = '0 1 2 ' ] || fail "not all GPUs were used: $(used all)"
same_way one two
# Nine tenths of 4096 MiB less 768 MiB.
expect 2 'segnas3d: one: this study was begun with memory 3140694828, now memory is 1073741824; *' \
    $search -o one --device cuda:1 --memory 1G
same_way one all
# Workers of one GPU have shares of the budget: half of 2 MiB is not enough for a plan and the cases.
# kept STUDY: how many of its workers' logs say that the cases are kept.
kept() {
    cat "$1"/log/trial-* | grep -c 'keeps all 4 cases' || true
}
[ "$(kept one)" -gt 0 ] || fail 'a worker by itself keeps no cases'
expect 0 '*' $search -o apart --device cuda:0,1 --workers 2 --memory 2M
[ "$(kept apart)" -gt 0 ] || fail 'workers on a GPU each keep no cases'
expect 0 '*' $search -o beside --device cuda:0 --workers 2 --memory 2M
[ "$(kept beside)" -eq 0 ] || fail "workers on one GPU keep more cases than there is room for: $(kept beside)"
same_way apart beside
expect 2 'segnas3d: one: this study was begun with device "cuda bf16", now device is "cpu"; *' $search -o one
expect 2 'segnas3d: one: this study was begun with device "cuda bf16", now device is "cuda tf32"; *' \
    $search -o one --device cuda --precision tf32
expect 0 '*' $search -o processor
expect 2 'segnas3d: processor: this study was begun with device "cpu", now device is "cuda bf16"; *' \
    $search -o processor --device cuda

# Under mpirun the ranks beside the first share them out.
if command -v mpirun >/dev/null && [ -e "$(dirname "$built")/segnas3d-mpi.so" ]; then
    cp "$(dirname "$built")/segnas3d-mpi.so" bin
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    export ASAN_OPTIONS=detect_leaks=0 # MPI's own
    mpirun --oversubscribe --bind-to none -n 3 "$program" $search -o ranks --device cuda:1,2 >out 2>err ||
        fail "ranks on GPUs: $(cat err)"
    same_way one ranks
    [ "$(used ranks)" = '1 2 ' ] || fail "not GPUs 1 and 2 were used by ranks: $(used ranks)"
    for gpus in 1 1,2; do
        mpirun --oversubscribe --bind-to none -n 3 "$program" $search -o ranks-$gpus --device cuda:$gpus --memory 2M \
            >out 2>err || fail "ranks on GPUs $gpus: $(cat err)"
        same_way apart ranks-$gpus
    done
    [ "$(kept ranks-1)" -eq 0 ] || fail "ranks on one GPU keep more cases than there is room for: $(kept ranks-1)"
    [ "$(kept ranks-1,2)" -gt 0 ] || fail 'ranks on a GPU each keep no cases'
else
    echo "ranks were left out: there is no MPI"
fi
finish
