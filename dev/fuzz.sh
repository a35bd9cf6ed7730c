#!/usr/bin/env bash
# Fuzzes the readers of logs and files, FUZZ_SECONDS each.
#
#   PROFILE  fuzz (the default), or dev, which is built faster and tries less
#
# Only our crate is compiled for libFuzzer: what it is made of is that of any other build.
PROFILE=${PROFILE:-fuzz}
. "$(dirname "$0")/common.sh"

dev/need.sh build fuzz
dev/rust.sh
seconds=${FUZZ_SECONDS:-10}

say "cargo compiles the fuzz targets ($PROFILE): with two cores, up to four minutes the first time"
RUSTC_WORKSPACE_WRAPPER=$PWD/dev/fuzz-rustc.sh $CARGO build --locked --package asterguard-fuzz --profile "$PROFILE"
programs=$(realpath "$target/$built")
cd fuzz
for file in targets/*.rs; do
    fuzzed=$(basename "$file" .rs)
    mkdir -p "corpus/$fuzzed" artifacts
    echo "fuzzing $fuzzed for $seconds s"
    "$programs/$fuzzed" -max_total_time="$seconds" -max_len=4000 -artifact_prefix=artifacts/ \
        "corpus/$fuzzed" ../tests/data >"artifacts/$fuzzed.log" 2>&1 || { tail -n 40 "artifacts/$fuzzed.log"; exit 1; }
    tail -n 1 "artifacts/$fuzzed.log"
done
