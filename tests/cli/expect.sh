# Sourced by the tests of the command line: `program` is set; a failed expectation is printed and counted.
failures=0
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect CODE PATTERN ARGUMENT...: run the program; its exit code, and a shell pattern for its standard error, which
# is the line of the error where there is one. Standard output is left in the file `out`, standard error in `err`.
expect() {
    code=$1
    pattern=$2
    shift 2
    got=0
    "$program" "$@" >out 2>err </dev/null || got=$?
    text=$(grep '^segnas3d: ' err || cat err) # what is beside the error is progress
    # shellcheck disable=SC2254
    case $text in
    $pattern) matches=yes ;;
    *) matches=no ;;
    esac
    if [ "$got" -ne "$code" ]; then
        fail "segnas3d $*: exit code $got, not $code: $text"
    elif [ "$matches" = no ]; then
        fail "segnas3d $*: said: $text; expected: $pattern"
    fi
}

# error_is_one_line: of the last run, beside lines of progress.
error_is_one_line() {
    if [ "$(grep -c '^segnas3d: ' err)" -ne 1 ]; then
        fail "not one line of error: $(cat err)"
    fi
}

# output_has TEXT: the last run's standard output holds it.
output_has() {
    grep -qF -- "$1" out || fail "standard output lacks \"$1\": $(cat out)"
}

# trajectory STUDY: the line of its JSON that says which way it went.
trajectory() {
    "$program" inspect "$1" --json | grep '"trajectory"'
}

# same_way STUDY STUDY
same_way() {
    way=$(trajectory "$1") || way=
    if [ -z "$way" ] || [ "$way" != "$(trajectory "$2")" ]; then
        fail "$1 and $2 went different ways"
    fi
}

finish() {
    [ "$failures" -eq 0 ]
    exit
}
