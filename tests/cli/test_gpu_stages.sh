#!/bin/sh
# scripts/gpu.sh without a GPU: what each stage says where something is missing, fails or takes long, and that what is
# done is passed over. With made-up GPUs (fake_gpus.c), and stand-ins for tests, benchmark and compute-sanitizer.
# usage: test_gpu_stages.sh PROGRAM REPOSITORY PLUGIN
set -eu
built=$1
root=$2
plugin=$3
program=$built
. "$(dirname "$0")/expect.sh"
unset SEGNAS3D_SHARED_DATA # nothing is trained on real data here

# gpu CODE TEXT ARGUMENT...: run the script; its exit code, and a part of what it says.
gpu() {
    code=$1
    text=$2
    shift 2
    got=0
    scripts/gpu.sh "$@" >out 2>&1 </dev/null || got=$?
    [ "$got" -eq "$code" ] || fail "gpu.sh $*: exit code $got, not $code: $(cat out)"
    output_has "$text"
}

# stand_in FILE COMMAND: a program that does this.
stand_in() {
    mkdir -p "$(dirname "$1")"
    printf '#!/bin/sh\n%s\n' "$2" >"$1"
    chmod +x "$1"
}

mkdir -p scripts src/backend/cuda
cp "$root/scripts/gpu.sh" scripts
cp -r "$root/src/backend/cuda/kernels" src/backend/cuda
for test in $(grep -o 'build/tests/[a-z_/]*' scripts/gpu.sh); do
    [ -x "$(dirname "$built")/${test#build/}" ] || fail "gpu.sh runs $test, which is not there"
done
stand_in scripts/setup.sh 'exit 1'
gpu 2 'usage: gpu.sh [build | devices | ' nonsense
gpu 77 'left out: nothing can be built, and nothing was built elsewhere' build
gpu 77 'left out: there is no program yet; begin with the stage build' devices
gpu 77 'report: build/gpu/report.md'
grep -q 'Not done' build/gpu/report.md || fail "the report does not say what is not done: $(cat build/gpu/report.md)"

cp "$built" build/segnas3d
for stage in devices conformance gradients sanitizer accuracy several bench trial; do
    gpu 77 'left out: this program was built without CUDA: ' $stage
done
cp "$plugin" build/segnas3d-cuda.so
gpu 77 'left out: no GPU can be used: there is no driver' trial
[ -z "$(ls build/gpu/*.txt 2>/dev/null)" ] || fail "what was left out counts as done: $(ls build/gpu)"

export FAKE_GPUS="9.0:4096"
stand_in build/tests/backend/test_cuda 'echo operations agree'
stand_in build/tests/train/test_accuracy '[ "$SEGNAS3D_TEST_DEVICE" = cuda ] && echo "a gradient is wrong" && exit 1'
stand_in tools/compute-sanitizer 'echo "$@" && [ "$2" != synccheck ]'
PATH="$folder/tools:$PATH"
gpu 0 'what was built elsewhere is used' build
gpu 0 'Fake 0' devices
gpu 0 'operations agree' conformance
gpu 1 'a gradient is wrong' gradients
gpu 1 '--tool racecheck ' sanitizer
output_has '--tool synccheck '
# The names of kernels as compilers write them: what "nadam" is, and what its name ends with.
filter=$(sed -n 's/.*--kernel-name regex=\([^ ]*\) .*/\1/p' out | head -n 1)
for kernel in _Z5nadamPK14sn_cuda_joinedlPKd _Z12find_momentsPfS_PKdPKfi _Z10first_passILi0EEvPd; do
    echo $kernel | grep -qE "$filter" || fail "$kernel is not checked: $filter"
done
for kernel in _ZN5cudnn4nadamEPf sm80_xmma_fprop_implicit_gemm _Z9transposePf; do
    ! echo $kernel | grep -qE "$filter" || fail "$kernel is checked: $filter"
done
gpu 77 'left out: SEGNAS3D_SHARED_DATA does not say' accuracy
[ "$(ls build/gpu/*.txt | wc -l)" -eq 3 ] || fail "not three stages are done: $(ls build/gpu)"
stand_in build/tests/train/test_accuracy 'echo gradients agree'
stand_in tools/compute-sanitizer 'echo "0 errors"'
gpu 0 'gradients agree' gradients sanitizer

# A benchmark that takes long is cut between two networks and goes on; what was measured is not measured again.
stand_in tools/python3 'case $1 in -*) exit 1 ;; esac
echo "measured: $*" && echo "$*" >>measured.txt && sleep 1.1'
export STAGE_SECONDS=1
gpu 75 'n=26 at 64x64x64 and others are still to be measured' bench
output_has 'there is no PyTorch for GPUs here: ours alone'
output_has 'measured: bench/compare.py --device cuda --rounds 1 --only n=21 64x64x64 --alone'
sed -i 's/sleep .*/true/' tools/python3
unset STAGE_SECONDS
gpu 0 'n=32 128x128x128' bench
[ "$(sort -u measured.txt | wc -l)" -eq 16 ] || fail "not all networks were measured: $(cat measured.txt)"
[ "$(wc -l <measured.txt)" -eq 16 ] || fail "networks were measured again: $(cat measured.txt)"

# Trainings, small and on the processor, on Debian's labelled brain if it is here.
templates=/usr/share/mricron/templates
if [ ! -e $templates/ch2.nii.gz ]; then
    echo "trainings were left out: Debian's mricron-data is not installed"
    finish
fi
mkdir shared
expect 0 '*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 6 -o shared/hippocampus --spacing 16 \
    --structures "$root/examples/aal_merged.json"
cp -r shared/hippocampus build/gpu/cohort
export REAL="$built"
stand_in build/segnas3d 'for word; do
    case $word in cuda) word=cpu ;; 64 | 128) word=16 ;; *" sup=1 "*) word="n=2 p=2" ;; esac
    set -- "$@" "$word" && shift
done
case "${LIE:-} $*" in "lie "*cuda:0,1*) set -- "$@" --seed 2 ;; esac
exec "$REAL" "$@"'
export SEGNAS3D_SHARED_DATA="$folder/shared"
stand_in tools/timeout 'case $1 in --*) shift ;; esac
shift
"$@" || exit
exit "${TIMEOUT:-0}"'
TIMEOUT=124 gpu 75 'the training is not done yet' accuracy
gpu 1 ', of the CPU 0.882' accuracy
[ ! -e build/gpu/accuracy.txt ] || fail 'a bad result counts as done'
TIMEOUT=124 gpu 0 'the training was cut off: what follows is extrapolated' trial
gpu 0 '100 epochs, ' trial
output_has 'memory to train, planned'
gpu 0 'there is one GPU: nothing is shared' several
export FAKE_GPUS="9.0:4096 9.0:4096"
LIE=lie gpu 1 'two GPUs have not the weights of one' several
[ ! -e build/gpu/several.txt ] || fail 'other weights count as done'
gpu 0 'the weights are the same' several
output_has 'GPU 0,1: 0.'
FAKE_GPUS="9.0:4096 8.0:4096" gpu 1 'list GPUs of one kind' several
gpu 0 'the weights are the same' several

# What is done is passed over, and all is in the report.
gpu 1 'conformance: done before'
for text in 'Fake 0' 'operations agree' 'gradients agree' '0 errors' 'measured: ' '100 take ' 'Not done'; do
    grep -q "$text" build/gpu/report.md || fail "the report lacks \"$text\": $(cat build/gpu/report.md)"
done
finish
