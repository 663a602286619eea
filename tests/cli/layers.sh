#!/bin/sh
# Hold the #includes of a source tree against the table of layers.
# usage: layers.sh ARCHITECTURE.md SRC
# Prints each violation as "file:line: what"; exit code 1 where there is one.
set -eu
table=$1
src=$2

grep -rn --include='*.c' --include='*.h' --include='*.cu' --include='*.cuh' '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$src" |
    awk -v src="$src" '
    # The table: | src/NAME | what it holds | names, of, layers |; closure[l] holds " all that l may use ".
    FILENAME != "-" && /^\| *src\// {
        split($0, cell, "|")
        layer = cell[2]
        uses = cell[4]
        gsub(/^ *src\/| *$/, "", layer)
        gsub(/^ *| *$/, "", uses)
        closure[layer] = " " layer " "
        if (uses == "all above")
            uses = above
        count = split(uses, names, / *, */)
        for (i = 1; i <= count; i++) {
            if (names[i] == "" || names[i] == "libc")
                continue
            if (!(names[i] in closure) || names[i] == layer) {
                print FILENAME ":" FNR ": " layer " may not use " names[i] ", which is not above it"
                bad = 1
            }
            closure[layer] = closure[layer] closure[names[i]]
        }
        above = above (above == "" ? "" : ", ") layer
        layers++
    }
    FILENAME == "-" {
        path = substr($0, 1, index($0, ":") - 1)
        split(substr($0, length(path) + 2), part, ":")
        split($0, quoted, "\"")
        layer = substr(path, length(src) + 2)
        sub(/\/.*/, "", layer)
        included = quoted[2]
        where = path ":" part[1] ": "
        includes++
        if (!(layer in closure)) {
            print where "src/" layer " is not in the table of layers"
            bad = 1
        } else if (index(included, "/") == 0 || included ~ /\.\.\//) {
            print where "includes \"" included "\"; write \"layer/header.h\""
            bad = 1
        } else {
            used = included
            sub(/\/.*/, "", used)
            if (index(closure[layer], " " used " ") == 0) {
                print where "includes \"" included "\", but src/" layer " may not use src/" used
                bad = 1
            }
        }
    }
    END {
        if (layers == 0 || includes == 0) {
            print "nothing was checked: " layers + 0 " layers in the table, " includes + 0 " includes"
            bad = 1
        }
        exit bad
    }' "$table" -
