#!/bin/sh
# Searches of made-up trainings: several workers, misfortunes, refusals.
# usage: test_simulate.sh PROGRAM
set -eu
program=$1
. "$(dirname "$0")/expect.sh"

simulate="search --simulate 0.002 --space segnas4 --iterations 70"
expect 0 '*' $simulate -o one
output_has 'simulated'
expect 0 '*' $simulate -o four --workers 4
output_has 'not needed'
output_has 'speed-up'
same_way one four
for algorithm in direct isres esch random; do
    expect 0 '*' $simulate -o $algorithm --algorithm $algorithm
    expect 0 '*' $simulate -o $algorithm-3 --algorithm $algorithm --workers 3
    same_way $algorithm $algorithm-3
done

# Interrupted: within seconds, and then it goes on. Killed: likewise. It can be read while it runs.
long="search --simulate 30 --space segnas4 --iterations 70 --workers 4 -o cut"
for signal in INT KILL; do
    "$program" $long >/dev/null 2>&1 &
    running=$!
    while [ ! -e cut/study.db-wal ] && kill -0 $running; do
        sleep 0.1
    done
    sleep 0.3
    expect 0 '*' inspect cut
    kill -$signal $running
    began=$(date +%s)
    wait $running || true
    [ $(($(date +%s) - began)) -lt 5 ] || fail "SIG$signal: it took long to end"
done
expect 0 '*' $simulate -o cut --workers 4
same_way one cut

# A budget in time: it ends well, says so, and the same command goes on; without time nothing is begun.
expect 0 '*' $simulate -o hours --hours 0.0000001
output_has 'the time of --hours is over'
expect 0 '*' $simulate -o hours --hours 0.001 --workers 2
output_has 'best iteration'
expect 0 '*' $simulate -o hours --hours 1
grep -q 'hours is over' out && fail "--hours 1 was over: $(cat out)"
same_way one hours

# Real hyperparameters: several workers go the same way, and what is tried is shown.
echo '{"n": {"lower": 8, "upper": 33}, "learning_rate": {"lower": 1e-4, "upper": 1e-2},
    "dropout": {"lower": 0, "upper": 0.5}, "loss_exponent": 0.4}' >real.json
real="search --simulate 0.002 --space real.json --iterations 60"
expect 0 '*' $real -o real
expect 0 '*' $real -o real-3 --workers 3
same_way real real-3
expect 0 '*' inspect real
output_has ' ops=2,0,2 learning_rate=0.001 dropout=0.25 loss_exponent=0.4' # the middle, the first point
grep -q '^ .*repeated' out && fail "points of 4001 x 501 values repeat: $(cat out)"

# Hopeless trainings are stopped, in real processes: the same ones for any number of workers, and after a kill.
for rule in median halving; do
    early="search --simulate 0.005 --space segnas4 --iterations 70 --stop-early $rule"
    expect 0 '*' $early -o $rule
    output_has 'trainings stopped early'
    expect 0 '*' $early -o $rule-3 --workers 3
    same_way $rule $rule-3
    "$program" search --simulate 0.1 --space segnas4 --iterations 70 --stop-early $rule -o $rule-killed --workers 3 \
        >/dev/null 2>&1 &
    running=$!
    sleep 0.6
    kill -KILL $running
    wait $running || true
    expect 0 '*' $early -o $rule-killed
    same_way $rule $rule-killed
    expect 0 '*' inspect $rule
    output_has 'stopped early, at epoch '
done
expect 2 'segnas3d: halving: this study was begun with stop_rule "halving", now stop_rule is "none"; *' \
    search --simulate 0.02 --space segnas4 --iterations 70 -o halving
expect 2 'segnas3d: search: option --stop-early: "mean" *' $simulate -o two --stop-early mean

# From an earlier study: its best network comes first, what it trained is taken over, for any number of workers and
# when it is gone.
warm="search --simulate 0.002 --space segnas4 --iterations 60 --algorithm isres --warm-start one"
expect 0 '*' $warm -o warm
output_has 'trainings taken over'
expect 0 '*' $warm -o warm-3 --workers 3
same_way warm warm-3
best=$("$program" inspect one | grep '^best ')
"$program" inspect warm | grep -q "^    1 .* ${best##* } " || fail "warm does not begin with $best"
expect 0 '*' $warm -o warm-cut --iterations 20
mv one gone
expect 0 '*' $warm -o warm-cut
same_way warm warm-cut
expect 3 'segnas3d: one: not a study*' $warm -o warm-late
[ ! -e warm-late ] || fail 'a search that cannot begin left files'
mv gone one
expect 2 'segnas3d: warm: this study was begun with warm_start "one", now warm_start is null; *' \
    search --simulate 0.002 --space segnas4 --iterations 60 --algorithm isres -o warm

# What belongs to the result cannot be changed; what it cannot be used for is refused.
expect 2 'segnas3d: one: this study was begun with algorithm "crs", now algorithm is "direct"; *' \
    $simulate -o one --algorithm direct
error_is_one_line
expect 2 'segnas3d: one: this study was begun with trial_hours 0.0, now *' $simulate -o one --trial-hours 2
expect 2 'segnas3d: search: --simulate takes no data set; leave "data" out' search data --simulate 1 -o two
expect 2 'segnas3d: search: an argument is missing; usage: *' search -o two
expect 2 'segnas3d: search: option --workers: "0" is not an integer *' $simulate -o two --workers 0
expect 3 'segnas3d: one: its trainings were simulated, *' train data -o best.safetensors --study one
[ ! -e two ] || fail 'a refused command left files'

# A training over its time has failed, and it is said that this is not exact.
expect 1 '*not one network could be trained*' search --simulate 5 --space segnas4 --iterations 2 -o slow \
    --trial-hours 0.0001 --workers 2
grep -q 'depends on how fast' err || fail "nothing is said of --trial-hours: $(cat err)"
expect 0 '*' inspect slow
output_has 'over the time limit'
finish
