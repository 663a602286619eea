#!/bin/sh
# All that is to be tried and measured on a machine with an NVIDIA GPU, in stages of less than ten minutes. Each leaves
# what it said in build/gpu/STAGE.txt and is passed over the next time; all of it is in build/gpu/report.md.
# usage: gpu.sh [STAGE...]        a stage that is named is done once more
#   build        the program with its plug-in for GPUs, tests and benchmarks
#   devices      what is here
#   conformance  each operation on the GPU against plain loops in double: float32, tf32, bf16
#   gradients    the training step of whole networks against the same
#   sanitizer    our kernels under compute-sanitizer, where it is installed
#   accuracy     a training on the hippocampus data, to the Dice of the CPU; SEGNAS3D_SHARED_DATA is the folder it is in
#   several      a training on two GPUs: the weights of one GPU, and the time
#   bench        training steps beside PyTorch on the same GPU, a few networks each time
#   trial        time and memory of one trial of the paper: 128x128x128, 22 training images, 100 epochs
# STAGE_SECONDS in the environment is how long a stage may take about (default 540).
# Exit code: 0 done; 75 there is more to do and the same command goes on; 77 something could not be tried here (no GPU, a
# tool or data that are missing); 1 something went wrong.
set -eu
cd "$(dirname "$0")/.."
out=build/gpu
seconds=${STAGE_SECONDS:-540} # of a stage
all="build devices conformance gradients sanitizer accuracy several bench trial"
unfinished=75
left_out=77
trial_arch="n=21 p=3 sup=1 res=0 nodes=3 ops=2,0,2"
program=build/segnas3d
export SEGNAS3D_PLUGINS="$PWD/build" PYTHONDONTWRITEBYTECODE=1

# leave_out REASON: end a stage that cannot be tried here.
leave_out() {
    echo "left out: $*"
    exit $left_out
}

gpu_needed() {
    $program devices --json >$out/devices.json 2>/dev/null ||
        leave_out "there is no program yet; begin with the stage build"
    reason=$(sed -n 's/^  "no_gpu_because": "\(.*\)".*/\1/p' $out/devices.json)
    [ -z "$reason" ] || leave_out "$reason"
}

# field NAME: a number from the JSON on standard input.
field() {
    sed -n "s/.*\"$1\": \([-+.eE0-9]*\).*/\1/p" | head -n 1
}

# ---- stages ----

stage_build() {
    if { scripts/setup.sh test && scripts/setup.sh cuda; } && scripts/cudnn.sh; then
        cmake --preset release -DBUILD_TESTING=ON -DSEGNAS3D_CUDA=ON
        cmake --build --preset release --target segnas3d test_cuda test_accuracy bench_step
    elif $program --version && [ -e build/segnas3d-cuda.so ] && [ -x build/tests/backend/test_cuda ]; then
        echo "what was built elsewhere is used"
    else
        leave_out "nothing can be built, and nothing was built elsewhere"
    fi
}

stage_devices() {
    gpu_needed
    nvidia-smi 2>/dev/null || echo "there is no nvidia-smi"
    $program devices
}

stage_conformance() {
    gpu_needed
    build/tests/backend/test_cuda
}

stage_gradients() {
    gpu_needed
    SEGNAS3D_TEST_DEVICE=cuda build/tests/train/test_accuracy
}

# What the names of all kernels in the sources have in common that cuDNN's have not, as a regular expression.
own_kernels() {
    names=$(sed -n 's/.*__global__ void \([a-z_]*\)(.*/\1/p' src/backend/cuda/kernels/*.cu | paste -s -d '|')
    echo "^_Z[0-9]+($names)"
}

stage_sanitizer() {
    gpu_needed
    sanitizer=$(command -v compute-sanitizer || command -v /usr/local/cuda/bin/compute-sanitizer) ||
        leave_out "there is no compute-sanitizer"
    for tool in memcheck racecheck synccheck; do # a call of CUDA that fails is handled where it is made
        echo "$tool:"
        timeout $((seconds / 3)) "$sanitizer" --tool $tool --error-exitcode 1 --report-api-errors no \
            --kernel-name "regex=$(own_kernels)" build/tests/backend/test_cuda
    done
}

# In docs/results.md the CPU has a test Dice of 0.882 with this network.
stage_accuracy() {
    gpu_needed
    data=${SEGNAS3D_SHARED_DATA:-nowhere}/hippocampus
    [ -e "$data" ] || leave_out "SEGNAS3D_SHARED_DATA does not say where the hippocampus data are"
    rm -f $out/hippocampus.safetensors # what was done to its end before is done once more
    code=0
    timeout --signal=INT "$seconds" $program train "$data" -o $out/hippocampus.safetensors --device cuda \
        --arch "n=16 p=3 sup=1 res=1" --size auto --epochs 30 || code=$?
    if [ $code -eq 124 ]; then
        echo "the training is not done yet"
        exit $unfinished
    fi
    [ $code -eq 0 ]
    $program predict $out/hippocampus.safetensors "$data" --split test -o $out/hippocampus --device cuda
    $program evaluate --reference "$data/labelsTr" --prediction $out/hippocampus --dataset "$data" --partial
    dice=$(sed -n '/"foreground_mean"/,/}/p' $out/hippocampus/summary.json | field Dice)
    awk -v dice="$dice" 'BEGIN {
        printf "test Dice %.4f, of the CPU 0.882\n", dice
        exit !(dice >= 0.872)
    }'
}

# 22 training images of brains, in $out/cohort.
make_cohort() {
    templates=/usr/share/mricron/templates
    [ ! -e $out/cohort ] || return 0
    [ -e $templates/ch2.nii.gz ] || leave_out "Debian's mricron-data is not installed"
    $program synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 44 -o $out/cohort --spacing 1.5 \
        --structures examples/aal_merged.json
}

# tensors FILE: a sum of a model's tensors, without the header, which has times in it.
tensors() {
    header=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    tail -c +$((header + 9)) "$1" | cksum
}

stage_several() {
    gpu_needed
    if [ "$(grep -c '"index"' $out/devices.json)" -lt 2 ]; then
        echo "there is one GPU: nothing is shared"
        return
    fi
    make_cohort
    for gpus in 0 0,1; do
        rm -f $out/gpus-$gpus.safetensors
        $program train $out/cohort -o $out/gpus-$gpus.safetensors --device cuda:$gpus --arch "$trial_arch" \
            --size 64 --batch 4 --epochs 4 2>$out/gpus-$gpus.log || {
            tail -n 1 $out/gpus-$gpus.log
            exit 1
        }
        sed -n "s/^epoch 4\/4 .* \([0-9.]*\) s.*/GPU $gpus: \1 s an epoch/p" $out/gpus-$gpus.log
    done
    if [ "$(tensors $out/gpus-0.safetensors)" != "$(tensors $out/gpus-0,1.safetensors)" ]; then
        echo "two GPUs have not the weights of one"
        exit 1
    fi
    echo "the weights are the same"
}

# A Python that has PyTorch for GPUs; nothing where there is none.
find_torch() {
    for python in python3 build/bench-python-gpu/bin/python; do
        if $python -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
            echo $python
            return
        fi
    done
    python3 -m venv build/bench-python-gpu &&
        build/bench-python-gpu/bin/python -m pip install -q --retries 1 "${TORCH:-torch}" &&
        echo build/bench-python-gpu/bin/python
}

stage_bench() {
    gpu_needed
    began=$(date +%s)
    python=$(find_torch 2>/dev/null) || python=
    [ -n "$python" ] || echo "there is no PyTorch for GPUs here: ours alone"
    for extent in 64x64x64 128x128x128; do
        for network in n=21 n=26 U-Net V-Net SegNAS7 dilated n=8 n=32; do
            result=$out/bench-$network-$extent.txt
            past=$(($(date +%s) - began))
            if [ ! -e "$result" ] && [ $past -gt $((seconds / 3)) ]; then
                echo "$network at $extent and others are still to be measured"
                exit $unfinished
            fi
            [ -e "$result" ] || measure $((seconds - past)) >"$result.new" # at least two thirds of the time
            [ -e "$result" ] || mv "$result.new" "$result"
            cat "$result"
        done
    done
}

# measure SECONDS: $network at $extent.
measure() {
    code=0
    timeout "$1" "${python:-python3}" bench/compare.py --device cuda --rounds 1 --only "$network $extent" \
        ${python:---alone} || code=$?
    [ $code -ne 124 ] || echo "$network at $extent: not measured in $1 s"
    [ $code -eq 0 ] || [ $code -eq 124 ]
}

# The training goes on where it was if this stage is named once more; the numbers are those of the epochs so far.
stage_trial() {
    gpu_needed
    make_cohort
    rm -f $out/trial.safetensors # likewise
    before=$(memory_used)
    watch_memory >$out/trial-memory.txt &
    watcher=$!
    code=0
    timeout --signal=INT "$seconds" $program train $out/cohort -o $out/trial.safetensors --device cuda \
        --arch "$trial_arch" --size 128 --epochs 100 2>$out/trial.log || code=$?
    kill $watcher
    tail -n 5 $out/trial.log
    [ $code -eq 0 ] || [ $code -eq 124 ]
    [ $code -eq 0 ] || echo "the training was cut off: what follows is extrapolated from the epochs that were done"
    sed -n 's/^epoch \([0-9]*\)\/100 .* \([0-9.]*\) s.*/\1 \2/p' $out/trial.log | awk '
        NR == 1 { first = $2 } # with what is done once
        NR > 1 { rest += $2 }
        END {
            if (NR == 0) { print "not one epoch was done"; exit 75 }
            each = NR == 1 ? first : rest / (NR - 1)
            printf "%d epochs, %.2f s each; 100 take %.1f minutes\n", NR, each, (first + 99 * each) / 60
        }'
    grep '^device .* keeps ' $out/trial.log || echo "the GPU keeps no cases"
    echo "memory of the GPU: $(($(sort -n $out/trial-memory.txt | tail -n 1) - before)) MiB; planned:"
    classes=$(sed -n '/"labels"/,/}/p' $out/cohort/dataset.json | grep -c '"[0-9]*": ')
    $program inspect --arch "$trial_arch" --size 128 --classes "$classes" --device cuda |
        grep -e '^memory to train' -e 'a case on the GPU'
}

# MiB in use on the first GPU; 0 where nobody tells.
memory_used() {
    nvidia-smi --id=0 --query-gpu=memory.used --format=csv,noheader,nounits 2>/dev/null || echo 0
}

watch_memory() {
    while :; do
        memory_used
        sleep 1
    done
}

# ---- all of it ----

report() {
    echo "# SegNAS3D on a GPU"
    echo
    $program devices 2>/dev/null | sed -n 's/^\(cpu\|cuda:[0-9]*\)  */- /p' || true
    echo "- commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    for stage in $all; do
        printf '\n## %s\n\n' "$stage"
        if [ -e $out/"$stage".txt ]; then
            printf '```\n'
            cat $out/"$stage".txt
            printf '```\n'
        else
            echo "Not done."
            [ ! -e $out/"$stage".new ] || tail -n 3 $out/"$stage".new
        fi
    done
}

# run_stage NAME: sets `code`; what it says is kept where it is done.
run_stage() {
    printf '\n== %s ==\n' "$1"
    {
        set +e
        (
            set -e
            "stage_$1"
        )
        echo $? >$out/code
    } 2>&1 | tee $out/"$1".new
    code=$(cat $out/code)
    rm $out/code
    if [ "$code" -eq 0 ]; then
        mv $out/"$1".new $out/"$1".txt
    fi
}

mkdir -p $out
for stage; do
    case " $all " in
    *" $stage "*) rm -f "$out/$stage.txt" ;;
    *)
        echo "usage: gpu.sh [$(echo "$all" | sed 's/ / | /g')]..." >&2
        exit 2
        ;;
    esac
done
worst=0
for stage in ${*:-$all}; do
    if [ -e $out/"$stage".txt ]; then
        echo "$stage: done before, see $out/$stage.txt"
        continue
    fi
    run_stage "$stage"
    case $code in
    0) ;;
    $left_out) [ $worst -ne 0 ] || worst=$left_out ;;
    $unfinished) [ $worst -eq 1 ] || worst=$unfinished ;;
    *) worst=1 ;;
    esac
done
report >$out/report.md
echo
echo "report: $out/report.md"
exit $worst
