#!/usr/bin/env bash
# Fuzzes the readers of logs and files, FUZZ_SECONDS each.
#
# A crate of its own, because its dependencies and flags are no business of the program's. The flags are those that
# libFuzzer needs to see which code runs; --target keeps them from build scripts.
. "$(dirname "$0")/common.sh"

dev/need.sh build fuzz
dev/rust.sh
seconds=${FUZZ_SECONDS:-10}
host=$(rustc -vV | sed -n 's/^host: //p')
place=$(realpath -m "${CARGO_TARGET_DIR:-fuzz/target}")
[ -z "${CARGO_TARGET_DIR:-}" ] || place+=/fuzz
flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"

say "cargo compiles the fuzz targets: with two cores, up to three minutes the first time"
cd fuzz
RUSTFLAGS=$flags $CARGO build --locked --release --target "$host" --target-dir "$place"
for fuzzed in lines prefix timestamp files scanner hep capture services ami_events notify fleet fail2ban; do
    mkdir -p "corpus/$fuzzed" artifacts
    echo "fuzzing $fuzzed for $seconds s"
    "$place/$host/release/$fuzzed" -max_total_time="$seconds" -max_len=4000 -artifact_prefix=artifacts/ \
        "corpus/$fuzzed" ../tests/data >"artifacts/$fuzzed.log" 2>&1 || { tail -n 40 "artifacts/$fuzzed.log"; exit 1; }
    tail -n 1 "artifacts/$fuzzed.log"
done
