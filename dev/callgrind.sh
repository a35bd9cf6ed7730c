#!/usr/bin/env bash
# Counts the instructions that a line of a log takes, and those of a command's start, by valgrind: another measure than
# time, that the machine's load and its clock do not change.
#
#   callgrind.sh            print them
#   callgrind.sh --check    fail if one is 3 % above or below that of benches/instructions.txt (PROFILE=dev)
#   callgrind.sh --write    write them there
#
# Of a log, what counts is the function `run` of the bench `pipeline`: splitter, scanner and engine, nothing that goes
# before. Of the start, it is all of `asterguard test` with one line. Figures can only be compared if the compiler is the
# same, and the processors have the same instructions.
#
#   CALLGRIND_MIB     1    size of each made-up log, in MiB
#   CALLGRIND_LIMIT   3    per cent by which --check allows more, or less
. "$(dirname "$0")/common.sh"

known=benches/instructions.txt
what=${1:-}
[[ $what =~ ^(--check|--write)?$ ]] || { echo "callgrind.sh [--check | --write]" >&2; exit 2; }
[ -z "$what" ] || [ "$PROFILE" = dev ] || { echo "$known has figures of PROFILE=dev" >&2; exit 2; }
dev/need.sh build test callgrind
dev/rust.sh
compiler=$(rustc --version)
if [ "$what" = --check ] && ! grep -qF "$compiler" "$known"; then
    echo "skipped: the figures in $known are of another compiler than $compiler (--write)"
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi

say "cargo compiles the bench, if it has to (some minutes); then valgrind runs it, for a minute or two"
bench=$($CARGO bench --locked --profile "$PROFILE" --bench pipeline --no-run --message-format=json-render-diagnostics |
    grep '"name":"pipeline"' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
$CARGO build --locked --profile "$PROFILE" --quiet
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# counted OPTIONS... PROGRAM...: has valgrind count a program's instructions, and says how many.
counted() {
    rm -f "$scratch/out"
    valgrind --tool=callgrind --callgrind-out-file="$scratch/out" "$@" >"$scratch/said" 2>&1 \
        || { cat "$scratch/said" >&2; return 1; }
    sed -n 's/^totals: //p' "$scratch/out"
}

# of_log NAME: the instructions of a line of this log.
of_log() {
    local total lines
    total=$(counted --toggle-collect=pipeline::run "$bench" --bench)
    lines=$(awk -v name="$1" '$1 == name { print $3 }' "$scratch/said")
    [ "${total:-0}" != 0 ] && [ "${lines:-0}" != 0 ] \
        || { echo "valgrind has not found \`run\` in $bench" >&2; return 1; }
    echo $((total / lines))
}

# figure NAME COMMAND...: the line of a figure.
figure() {
    local number
    number=$("${@:2}") || return 1
    echo "$1 $number"
}

figures() {
    local log
    export ASTERGUARD_BENCH_ROUNDS=1 ASTERGUARD_BENCH_MIB=${CALLGRIND_MIB:-1}
    for log in quiet attack security crowd; do
        ASTERGUARD_BENCH_ONLY=$log figure "$log" of_log "$log"
    done
    ASTERGUARD_BENCH_FILES=tests/data/hostile-full.log figure hostile of_log hostile-full.log
    figure start counted "$binary" test --config packaging/etc/asterguard.toml "$(grep -m 1 InvalidPassword tests/data/attack-security.log)"
}

figures >"$scratch/now"
case $what in
    --write)
        {
            echo "# Instructions of a line, and of a command's start, as \`make callgrind-check\` counts them: $compiler"
            cat "$scratch/now"
        } >"$known"
        ;;
    --check)
        awk -v limit="${CALLGRIND_LIMIT:-3}" '
            /^#/ { next }
            FNR == NR { was[$1] = $2; next }
            {
                change = was[$1] ? 100 * ($2 - was[$1]) / was[$1] : 100
                wrong = change > limit || change < -limit
                failed = failed || wrong
                printf "%-9s %12d instructions, %d expected: %+.2f %%%s\n", $1, $2, was[$1], change, wrong ? "  FAIL" : ""
            }
            END { exit failed }' "$known" "$scratch/now" \
            || { echo "if that is meant: PROFILE=dev dev/callgrind.sh --write" >&2; exit 1; }
        ;;
    *) awk '{ printf "%-9s %12d instructions\n", $1, $2 }' "$scratch/now" ;;
esac
