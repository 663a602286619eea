#!/bin/sh
# The manual page describes every command and every option that --help shows, no other, and every exit code.
# usage: test_manual.sh PROGRAM REPOSITORY
set -eu
program=$1
manual=$2/docs/segnas3d.1
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# described COMMAND: the long options in the manual's sections whose titles have the command's name.
described() {
    awk -v command="$1" '
        /^\.S[SH]/ { inside = $1 == ".SS" && index(" " $0 " ", " " command " ") > 0; entry = 0 }
        inside && entry && match($0, /\\-\\-[a-z\\-]+/) {
            name = substr($0, RSTART, RLENGTH)
            gsub(/\\/, "", name)
            print name
        }
        { entry = $1 == ".TP" }' "$manual" | sort -u
}

# shown COMMAND: the long options of its --help, but --help itself.
shown() {
    "$program" "$1" --help | sed -n 's/^  \(-[a-zA-Z], \|    \)\(--[a-z-]*\).*/\2/p' | grep -vx -- --help | sort -u
}

commands=$("$program" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(echo "$commands" | wc -w)" -ge 7 ] || fail "only these commands are in the help: $commands"
for command in $commands; do
    grep -qx "\.SS $command" "$manual" || fail "the manual has no section on $command"
    help=$(shown "$command")
    page=$(described "$command")
    [ -n "$help" ] || fail "$command --help shows no options"
    [ "$help" = "$page" ] || fail "$command: --help has" $help "but the manual has" $page
done
for code in 0 1 2 3 4 130; do
    sed -n '/^\.SH EXIT CODES/,/^\.SH EXAMPLES/p' "$manual" | grep -qx "\.B $code" || fail "exit code $code is missing"
done
[ "$failures" -eq 0 ]
