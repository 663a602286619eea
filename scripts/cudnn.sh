#!/bin/sh
# Find cuDNN 9, which the CUDA backend is built with, or fetch NVIDIA's package of it with pip to build/cudnn (include
# and lib). Does nothing where it is in its usual places, in CUDNN_ROOT or in build/cudnn.
# usage: cudnn.sh
# Exit code 1, with one line that says why: there is no nvcc, no pip, or pip cannot fetch it.
set -eu
cd "$(dirname "$0")/.."
folder=build/cudnn

if ! nvcc=$(command -v nvcc || command -v /usr/local/cuda/bin/nvcc); then
    echo "cudnn: there is no nvcc here; install NVIDIA's CUDA toolkit (12 or later)" >&2
    exit 1
fi
toolkit=$(dirname "$(dirname "$(readlink -f "$nvcc")")")

for place in "${CUDNN_ROOT:-$folder}" $folder "$toolkit" /usr /usr/local; do
    for header in "$place"/include/cudnn_version.h "$place"/include/*-linux-gnu/cudnn_version.h; do
        if grep -q '^#define CUDNN_MAJOR 9' "$header" 2>/dev/null; then
            echo "cudnn: $place"
            exit 0
        fi
    done
done

major=$("$nvcc" --version | sed -n 's/.*release \([0-9]*\)\..*/\1/p')
package="nvidia-cudnn-cu$major"
if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "cudnn: there is no pip here to fetch $package with; install it (python3-pip) or cuDNN 9 itself" >&2
    exit 1
fi
rm -rf $folder.new
mkdir -p $folder.new
echo "cudnn: fetching $package, some hundred MiB"
if ! python3 -m pip download -q --disable-pip-version-check --retries 1 --timeout 30 --no-deps --only-binary=:all: \
    -d $folder.new "$package==9.*"; then
    rm -rf $folder.new
    echo "cudnn: pip cannot fetch $package" >&2
    exit 1
fi
python3 -m zipfile -e $folder.new/*.whl $folder.new/wheel
ln -s libcudnn.so.9 $folder.new/wheel/nvidia/cudnn/lib/libcudnn.so # which the linker looks for
rm -rf $folder
mv $folder.new/wheel/nvidia/cudnn $folder
rm -rf $folder.new
echo "cudnn: $folder"
