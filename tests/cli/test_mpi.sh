#!/bin/sh
# Searches on several processes by mpirun: the same study as one process, misfortunes, refusals.
# usage: test_mpi.sh PROGRAM REPOSITORY
set -eu
program=$1
if ! command -v mpirun >/dev/null; then
    echo "skipped: there is no mpirun here (Debian's openmpi-bin)"
    exit 77
fi
. "$(dirname "$0")/expect.sh"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_WAIT_POLICY=passive
export ASAN_OPTIONS=detect_leaks=0 # MPI's own

launch="mpirun --oversubscribe --bind-to none -n"

# expect_ranks K CODE TEXT ARGUMENT...: of the job; a line of its standard error is TEXT, a shell pattern.
expect_ranks() {
    ranks=$1
    code=$2
    wanted=$3
    shift 3
    got=0
    $launch "$ranks" "$program" "$@" >out 2>err </dev/null || got=$?
    [ "$got" -eq "$code" ] || fail "$ranks ranks, segnas3d $*: exit code $got, not $code: $(cat err)"
    found=no
    while read -r line; do
        # shellcheck disable=SC2254
        case $line in
        $wanted) found=yes ;;
        esac
    done <err
    [ "$found" = yes ] || fail "$ranks ranks, segnas3d $*: no line is $wanted: $(cat err)"
}

# Any number of ranks goes the way of one process.
simulate="search --simulate 0.002 --space segnas4 --iterations 60"
expect 0 '*' $simulate -o one
for ranks in 2 4; do
    expect_ranks $ranks 0 '60/60 *' $simulate -o ranks-$ranks
    same_way one ranks-$ranks
done
output_has 'with 3 workers'
expect_ranks 4 0 '*1 ranks have nothing to do*' $simulate -o pairs --ranks-per-trial 2
same_way one pairs

# rank_pid R: the process of rank R of the job of mpirun's process $running.
rank_pid() {
    for pid in $(ps -o pid= --ppid "$running"); do
        if tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
            echo "$pid"
        fi
    done
}

# A rank that is interrupted ends the job well; one that is killed takes it down, but not the study.
long="search --simulate 30 --space segnas4 --iterations 60 -o cut"
for misfortune in "TERM 0" "TERM 1" "KILL 0" "KILL 2"; do
    $launch 3 "$program" $long >out 2>err &
    running=$!
    tries=0
    while [ -z "$(ls cut/log/trial-* 2>/dev/null)" ] && [ $tries -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    sleep 0.3
    kill "-${misfortune% *}" "$(rank_pid "${misfortune#* }")"
    began=$(date +%s)
    code=0
    wait $running || code=$?
    [ $(($(date +%s) - began)) -lt 15 ] || fail "$misfortune: it took long to end"
    case $misfortune in
    TERM*)
        [ $code -eq 130 ] || fail "$misfortune: exit code $code: $(cat err)"
        grep -q 'interrupted; the same command goes on' err || fail "$misfortune: not said: $(cat err)"
        ;;
    *) [ $code -ne 0 ] || fail "$misfortune: exit code 0" ;;
    esac
    rm -f cut/log/trial-*
done
expect_ranks 3 0 '60/60 *' $simulate -o cut
same_way one cut

# Real trainings, on several ranks each: the same study and the same model. On Debian's labelled brain, if it is here.
templates=/usr/share/mricron/templates
if [ -e $templates/ch2.nii.gz ]; then
    expect 0 '*' synth $templates/ch2.nii.gz $templates/aal.nii.gz -n 10 -o data --spacing 16 \
        --structures "$2/examples/aal_merged.json"
    echo '{"n": {"lower": 3, "upper": 8}, "p": 1, "sup": {"lower": 0, "upper": 2}, "nodes": 2, "ops": [2]}' >space.json
    trial="search data --space space.json --size auto --epochs 2 --threads 1 --iterations 3"
    # model STUDY: the bytes of its best model's tensors, without the header, which has times in it.
    model() {
        header=$(od -An -t u8 -N 8 "$1/best.safetensors" | tr -d ' ')
        tail -c +$((header + 9)) "$1/best.safetensors" | cksum
    }
    expect 0 '*' $trial -o alone
    for each in 1 2 3; do
        expect_ranks $((each + 1)) 0 '3/3 *' $trial -o together-$each --ranks-per-trial $each
        same_way alone together-$each
        [ "$(model alone)" = "$(model together-$each)" ] || fail "$each ranks a trial: another model"
    done

    # A member's worker that is killed: the whole training is begun again, from its checkpoint.
    expect 0 '*' search data --space space.json --size auto --epochs 300 --threads 1 --iterations 1 -o calm
    $launch 3 "$program" search data --space space.json --size auto --epochs 300 --threads 1 --iterations 1 -o hurt \
        --ranks-per-trial 2 >out 2>err &
    running=$!
    while [ -z "$(find hurt/models -name '*.checkpoint' 2>/dev/null)" ] && kill -0 $running; do
        sleep 0.02
    done
    pid=$(ps -o pid= --ppid "$(rank_pid 2)")
    kill -KILL $pid
    wait $running || fail "a worker was killed: $(cat err)"
    grep -q 'ended by signal 9.*started again' err || fail "nothing is said of the killed worker: $(cat err)"
    same_way calm hurt
    [ "$(model calm)" = "$(model hurt)" ] || fail "a killed member: another model"
else
    echo "real trainings were left out: Debian's mricron-data is not installed"
fi

# What cannot be is said once.
expect_ranks 3 2 'segnas3d: search: option --workers: the workers are the 2 ranks *' $simulate -o no --workers 2
[ "$(grep -c '^segnas3d: ' err)" -eq 1 ] || fail "it is said more than once: $(cat err)"
expect_ranks 3 2 'segnas3d: 3 ranks: *at least 4' $simulate -o no --ranks-per-trial 3
expect_ranks 3 2 'segnas3d: inspect is done by one process; *' inspect one
expect 2 'segnas3d: search: option --ranks-per-trial: there are no ranks; *' $simulate -o no --ranks-per-trial 2
[ ! -e no ] || fail 'a refused command left files'
finish
