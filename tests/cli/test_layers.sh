#!/bin/sh
# layers.sh finds what it must find: violations are planted in a small tree, and the real tree has none.
# usage: test_layers.sh REPOSITORY
set -eu
root=$1
check=$root/tests/cli/layers.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0

# expect CODE TEXT: check the planted tree.
expect() {
    code=0
    output=$("$check" "$folder/table.md" "$folder/src") || code=$?
    case $output in
    *"$2"*) found=yes ;;
    *) found=no ;;
    esac
    if [ "$code" -ne "$1" ] || [ "$found" = no ]; then
        echo "expected exit code $1 and \"$2\", got $code and: $output"
        failures=$((failures + 1))
    fi
}

# plant FILE INCLUDED: a source file that includes one header.
plant() {
    mkdir -p "$folder/src/$(dirname "$1")"
    printf '#include <stdio.h>\n#include "%s"\n' "$2" >"$folder/src/$1"
}

cat >"$folder/table.md" <<'END'
| folder | holds | may use |
|---|---|---|
| src/base | a | libc |
| src/volume | b | base |
| src/nn | c | base |
| src/model | d | volume, nn |
| src/cli | e | all above |
END
mkdir "$folder/src"
expect 1 "nothing was checked"
plant volume/a.c base/x.h
plant model/a.c base/x.h # through volume
plant cli/main.c nn/x.h
expect 0 ""
plant nn/deep/a.c volume/x.h
expect 1 'src/nn/deep/a.c:2: includes "volume/x.h", but src/nn may not use src/volume'
plant nn/deep/a.c nn/y.h
plant base/a.h cli/x.h
expect 1 'src/base/a.h:2: includes "cli/x.h", but src/base may not use src/cli'
plant base/a.h base/b.h
plant extra/a.c base/x.h
expect 1 "src/extra is not in the table of layers"
rm -r "$folder/src/extra"
plant cli/main.c ../nn/x.h
expect 1 'write "layer/header.h"'
plant cli/main.c nn/x.h
echo '| src/late | f | later |' >>"$folder/table.md"
expect 1 "late may not use later"

"$check" "$root/docs/architecture.md" "$root/src" || failures=$((failures + 1))
[ "$failures" -eq 0 ]
