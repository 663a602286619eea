#!/bin/sh
# Find cuDNN 9, which the CUDA backend is built with, or fetch NVIDIA's packages of it and of cuBLAS, which it loads, with
# pip to build/cudnn (include and lib). Does nothing where cuDNN is in a usual place, in CUDNN_ROOT or in build/cudnn.
# usage: cudnn.sh
# Exit code 1, with one line that says why: there is no nvcc, no pip, or pip cannot fetch them.
set -eu
cd "$(dirname "$0")/.."
folder=build/cudnn
new=$folder.new

stop() {
    rm -rf $new
    echo "cudnn: $*" >&2
    exit 1
}

nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc) ||
    stop "there is no nvcc here; install NVIDIA's CUDA toolkit (12 or later)"
toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
major=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')

has_cublas() {
    find "$toolkit"/lib64/ "$toolkit"/targets/*/lib/ -name "libcublasLt.so.$major*" 2>/dev/null | grep -q . ||
        /sbin/ldconfig -p 2>/dev/null | grep -q "libcublasLt\.so\.$major"
}

for place in "${CUDNN_ROOT:-$folder}" $folder "$toolkit" /usr /usr/local; do
    for header in "$place"/include/cudnn_version.h "$place"/include/*-linux-gnu/cudnn_version.h; do
        if grep -q '^#define CUDNN_MAJOR 9' "$header" 2>/dev/null; then
            echo "cudnn: $place"
            exit 0
        fi
    done
done

# fetch PACKAGE VERSION: unpacked to $new/wheels.
fetch() {
    echo "cudnn: fetching $1, some hundred MiB"
    python3 -m pip download -q --disable-pip-version-check --retries 1 --timeout 30 --no-deps --only-binary=:all: \
        -d $new "$1==$2.*" || stop "pip cannot fetch $1"
    python3 -m zipfile -e $new/*.whl $new/wheels
    rm $new/*.whl
}

python3 -m pip --version >/dev/null 2>&1 ||
    stop "there is no pip here to fetch nvidia-cudnn-cu$major with; install it (python3-pip) or cuDNN 9 itself"
rm -rf $new
mkdir -p $new
fetch "nvidia-cudnn-cu$major" 9
mv $new/wheels/nvidia/cudnn/include $new/wheels/nvidia/cudnn/lib $new
ln -s libcudnn.so.9 $new/lib/libcudnn.so # which the linker looks for
if ! has_cublas; then
    suffix=
    [ "$major" -ge 13 ] || suffix=-cu$major
    fetch "nvidia-cublas$suffix" "$major"
    mv $new/wheels/nvidia/*/lib/libcublas*.so.* $new/lib
fi
rm -rf $folder $new/wheels
mv $new $folder
echo "cudnn: $folder"
