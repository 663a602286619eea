#!/bin/sh
# Submit examples/segnas3d.sbatch to a real Slurm: munged, slurmctld and two slurmd of this machine, on loopback, with
# all that they write in a temporary folder. The study must be that of one process, also of a job that was cut off.
# Needs Debian's slurm-wlm, munge and openmpi-bin, and a program that was built with MPI.
# usage: test_slurm.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/.."
repository=$PWD
program=$(realpath "${1:-build/segnas3d}")

for needed in munged slurmctld slurmd sbatch mpirun; do
    if ! PATH=$PATH:/usr/sbin command -v $needed >/dev/null; then
        echo "test_slurm: $needed is missing; install slurm-wlm, munge and openmpi-bin" >&2
        exit 1
    fi
done
if [ ! -e "$(dirname "$program")/segnas3d-mpi.so" ]; then
    echo "test_slurm: $program was built without MPI; install libopenmpi-dev and build again" >&2
    exit 1
fi

PATH=$PATH:/usr/sbin
folder=$(mktemp -d)
chmod 755 "$folder"
mkdir -m 755 "$folder/munge" "$folder/state" "$folder/work"
host=$(hostname -s)
user=$(id -un)
port=$((20000 + $$ % 20000))
processes=""

# Ends only what was started here.
finish() {
    scancel --full --user="$user" 2>/dev/null || true
    for pid in $processes; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in $processes; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

fail() {
    echo "test_slurm: FAILED: $*" >&2
    tail -n 20 "$folder"/*.log "$folder"/work/*.log >&2 || true
    exit 1
}

# ---- a cluster of two nodes ----

(
    umask 077
    head -c 1024 /dev/urandom >"$folder/munge/key"
)
munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" \
    >"$folder/munged.log" 2>&1 &
processes="$processes $!"

export SLURM_CONF="$folder/slurm.conf"
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
TmpFS=$folder/tmp-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
KillWait=10
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2 State=UNKNOWN
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 State=UNKNOWN
PartitionName=test Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
CONF
touch "$folder/cgroup.conf"
slurmctld -D >"$folder/slurmctld.log" 2>&1 &
processes="$processes $!"
for node in node1 node2; do
    mkdir -p "$folder/spool-$node" "$folder/tmp-$node"
    slurmd -D -N $node >"$folder/slurmd-$node.log" 2>&1 &
    processes="$processes $!"
done

# wait_for SECONDS WHAT COMMAND...: until the command succeeds.
wait_for() {
    left=$(($1 * 2))
    what=$2
    shift 2
    until "$@"; do
        left=$((left - 1))
        [ $left -gt 0 ] || fail "$what"
        sleep 0.5
    done
}

nodes_idle() {
    [ "$(sinfo -h -N -o '%t' 2>/dev/null | grep -c '^idle$')" -eq 2 ]
}
wait_for 30 "the nodes do not come up" nodes_idle

# ---- jobs ----

cd "$folder/work"
export SEGNAS3D="$program" OMP_WAIT_POLICY=passive
search="--simulate 0.05 --space segnas4 --iterations 60"

# submit ARGUMENT...: the example, on this cluster's nodes; its number is left in `job`.
submit() {
    job=$(sbatch --parsable --nodes=2 --cpus-per-task=1 --time=10 "$repository/examples/segnas3d.sbatch" "$@")
}

job_ended() {
    case $(scontrol -o show job "$job" 2>/dev/null) in
    *JobState=COMPLETED* | *JobState=FAILED* | *JobState=CANCELLED* | *JobState=NODE_FAIL* | *JobState=TIMEOUT*) ;;
    *) return 1 ;;
    esac
}

job_completed() {
    wait_for 120 "job $job does not end" job_ended
    scontrol -o show job "$job" | grep -q JobState=COMPLETED || fail "job $job: $(scontrol -o show job "$job")"
}

trajectory() {
    "$program" inspect "$1" --json | grep '"trajectory"'
}

"$program" search $search -o one >/dev/null 2>&1
submit $search -o nodes
job_completed
[ "$(trajectory one)" = "$(trajectory nodes)" ] || fail "the search on two nodes went another way"
grep -q 'with 2 workers' "segnas3d-$job.log" || fail "the nodes did not both train"
echo "a search on two nodes: the study of one process"

# The signal that comes before the time is over: the job queues itself again and goes on.
submit --simulate 2 --space segnas4 --iterations 60 -o cut
job_trains() {
    ls cut/log/trial-* >/dev/null 2>&1
}
wait_for 60 "job $job does not begin" job_trains
sleep 1
scancel --signal=INT "$job"
job_queued_again() {
    scontrol -o show job "$job" | grep -q 'Restarts=1'
}
wait_for 60 "job $job is not queued again" job_queued_again
scancel "$job"
wait_for 60 "job $job does not end" job_ended
submit $search -o cut
job_completed
[ "$(trajectory one)" = "$(trajectory cut)" ] || fail "the search that was cut off went another way"
echo "a search that was cut off, queued again, cancelled and submitted again: the same study"

# A rank that is killed takes its step with it, not the study.
submit --simulate 30 --space segnas4 --iterations 60 -o killed
wait_for 60 "job $job does not begin" test -e killed/study.db-wal
sleep 2
for pid in $(pgrep -f "^$program search "); do
    if tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -x -e "SLURM_JOB_ID=$job" -e SLURM_PROCID=1 |
        grep -c . | grep -qx 2; then
        kill -KILL "$pid"
    fi
done
wait_for 60 "job $job goes on without a rank" job_ended
scontrol -o show job "$job" | grep -q JobState=FAILED || fail "job $job: $(scontrol -o show job "$job")"
submit $search -o killed
job_completed
[ "$(trajectory one)" = "$(trajectory killed)" ] || fail "the search with a killed rank went another way"
echo "a search that lost a rank and was submitted again: the same study"
