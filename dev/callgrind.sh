#!/usr/bin/env bash
# Counts the instructions that it takes to read a log, by valgrind: another measure than time, that the machine's
# load and its clock do not change, so a change of the code of a tenth of a per cent shows.
#
#   dev/callgrind.sh                        quiet, attack and security
#   dev/callgrind.sh attack                 only this log
#   dev/callgrind.sh --compare FILE         beside what an earlier run printed; fails if one is 1 % above it
#
# What counts is the function `run` of the bench `pipeline`: splitter, scanner and engine, nothing that goes before.
# The figures of two machines can only be compared if their processors have the same instructions.
#
#   CALLGRIND_MIB     4    size of each made-up log, in MiB
#   CALLGRIND_LIMIT   1    per cent by which --compare allows more
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CARGO=${CARGO:-cargo}

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not there; on Debian and Ubuntu, as root: apt-get install valgrind" >&2
    exit 1
fi
before=
if [ "${1:-}" = --compare ]; then
    before=${2:?"--compare FILE: what an earlier run printed"}
    shift 2
fi
logs=("$@")
[ ${#logs[@]} -gt 0 ] || logs=(quiet attack security)

echo "== cargo compiles the bench, if it has to (some minutes); then valgrind runs it, for a minute" >&2
bench=$($CARGO bench --locked --bench pipeline --no-run --message-format=json-render-diagnostics |
    grep '"name":"pipeline"' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# instructions LOG: all that `run` executes.
instructions() {
    ASTERGUARD_BENCH_ONLY=$1 ASTERGUARD_BENCH_ROUNDS=1 ASTERGUARD_BENCH_MIB=${CALLGRIND_MIB:-4} \
        valgrind --tool=callgrind --toggle-collect=pipeline::run --callgrind-out-file="$scratch/out" \
        "$bench" --bench >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; return 1; }
    sed -n 's/^totals: //p' "$scratch/out"
}

failed=0
for log in "${logs[@]}"; do
    now=$(instructions "$log")
    if [ "${now:-0}" = 0 ]; then
        echo "valgrind has not found \`run\` in $bench" >&2
        exit 1
    fi
    if [ -z "$before" ]; then
        printf '%-9s %12d instructions\n' "$log" "$now"
        continue
    fi
    was=$(awk -v kind="$log" '$1 == kind { print $2 }' "$before")
    if [ -z "$was" ]; then
        echo "$before says nothing of $log" >&2
        exit 1
    fi
    awk -v kind="$log" -v now="$now" -v was="$was" -v limit="${CALLGRIND_LIMIT:-1}" 'BEGIN {
        change = 100 * (now - was) / was
        printf "%-9s %12d instructions, %d before: %+.2f %%\n", kind, now, was, change
        exit change > limit
    }' || failed=1
done
exit $failed
