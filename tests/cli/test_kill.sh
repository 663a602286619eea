#!/bin/sh
# A search of real trainings, killed with SIGKILL at 20 random moments, workers and master both, ends as a calm one.
# On a cohort of Debian's labelled brain with voxels of 16 mm. Skipped without that package.
# usage: test_kill.sh PROGRAM REPOSITORY
set -eu
program=$1
root=$2
. "$(dirname "$0")/cohort.sh"
kills=20

cohort 6 data
echo '{"n": {"lower": 1, "upper": 5}, "p": 1, "sup": 0, "res": {"lower": 0, "upper": 2}, "nodes": 2, "ops": [2]}' \
    >space.json
search="search data --space space.json --size auto --epochs 300 --threads 1 --iterations 8"
began=$(date +%s.%N)
expect 0 '*' $search -o calm
longest=$(awk -v began="$began" -v ended="$(date +%s.%N)" 'BEGIN { print (ended - began) / 20 }') # of a nap

# A random time, from a list of random numbers; as fast as the machine is, the kills come before the end.
awk -v count=$((3 * kills)) 'BEGIN { srand(11); for (i = 0; i < count; i++) print rand() }' >random.txt
nap() {
    naps=$((naps + 1))
    sleep "$(sed -n "${naps}p" random.txt | awk -v most="$longest" '{ print $1 * most }')"
}

naps=0
cut=0
for _ in $(seq $kills); do
    "$program" $search -o killed --workers 3 >/dev/null 2>&1 &
    running=$!
    for _ in 1 2; do # one or two workers, then the master; three deaths of one training would be a result
        nap
        worker=$(cat /proc/$running/task/$running/children 2>/dev/null) || worker=
        [ -z "$worker" ] || kill -KILL "${worker%% *}" 2>/dev/null || true
    done
    nap
    kill -KILL $running 2>/dev/null || true
    got=0
    wait $running 2>/dev/null || got=$?
    [ "$got" -ne 137 ] || cut=$((cut + 1))
done
[ "$cut" -ge 5 ] || fail "only $cut of $kills searches were killed before their end"
expect 0 '*' $search -o killed --workers 3
for study in calm killed; do
    "$program" inspect $study --json | sed '/"pareto"/,$d' >$study.json # the rest has times in it
done
cmp -s calm.json killed.json || fail "the search that was killed took another way: $(diff calm.json killed.json)"
"$program" predict calm/best.safetensors data --split test -o calm-maps >/dev/null 2>&1
"$program" predict killed/best.safetensors data --split test -o killed-maps >/dev/null 2>&1
diff -r calm-maps killed-maps >/dev/null || fail 'the search that was killed has another model'
finish
