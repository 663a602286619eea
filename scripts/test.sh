#!/bin/sh
# Build and test twice: as released, and under AddressSanitizer and UndefinedBehaviorSanitizer.
# The last line is "N passed, N failed".
set -eu
cd "$(dirname "$0")/.."

passed=0
failed=0
skipped=0

# run_tests FOLDER: run its tests and add to the counts.
run_tests() {
    log="$1/ctest.txt"
    status=0
    ctest --test-dir "$1" --output-on-failure -j "$(nproc)" >"$log" 2>&1 || status=$?
    cat "$log"
    all=$(sed -n 's/^[0-9]*% tests passed, [0-9]* tests failed out of \([0-9]*\)$/\1/p' "$log")
    bad=$(sed -n 's/^[0-9]*% tests passed, \([0-9]*\) tests failed out of [0-9]*$/\1/p' "$log")
    idle=$(grep -c '\*\*\*Skipped' "$log" || true)
    if [ -z "$all" ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        all=1 bad=1 idle=0 # no test ran, or ctest itself failed
    fi
    passed=$((passed + all - bad - idle))
    failed=$((failed + bad))
    skipped=$((skipped + idle))
}

# The plug-in for GPUs is built where nvcc and cuDNN are; continuous integration fetches cuDNN.
if [ "${CI:-}" = true ] || [ -e build/cudnn ]; then
    scripts/cudnn.sh || true # it says why
fi
cmake --preset release -DBUILD_TESTING=ON -DSEGNAS3D_WERROR=ON
cmake --build --preset release --target all bench_conv bench_step bench_layers # what measures shall build, too
cmake --preset sanitize
cmake --build --preset sanitize

echo "== tests of the release build =="
run_tests build
echo "== tests under AddressSanitizer and UndefinedBehaviorSanitizer =="
run_tests build/sanitize

echo "Sets of tests that ran:"
echo "  made in the tests: yes"
if [ -e /usr/share/mricron/templates/ch2.nii.gz ]; then
    echo "  real volumes of Debian's mricron-data: yes"
else
    echo "  real volumes of Debian's mricron-data: no, the package is not installed"
fi
if [ -n "${SEGNAS3D_SHARED_DATA:-}" ]; then
    echo "  data sets in SEGNAS3D_SHARED_DATA: yes"
else
    echo "  data sets in SEGNAS3D_SHARED_DATA: no, the variable is not set"
fi
if [ -e build/segnas3d-cuda.so ]; then
    echo "  the plug-in for GPUs is built: yes"
else
    echo "  the plug-in for GPUs is built: no, nvcc and cuDNN are needed (make cuda)"
fi
if [ "$skipped" -gt 0 ]; then
    echo "$skipped skipped"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
