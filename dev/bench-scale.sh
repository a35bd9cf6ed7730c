#!/usr/bin/env bash
# Measures what a line costs as an installation grows, and draws it into docs/scale.svg.
. "$(dirname "$0")/common.sh"

dev/need.sh build test
dev/rust.sh
ASTERGUARD_BENCH_SVG=${ASTERGUARD_BENCH_SVG:-docs/scale.svg}
ASTERGUARD_BENCH_SVG=$(realpath -m "$ASTERGUARD_BENCH_SVG")
export ASTERGUARD_BENCH_SVG
say "cargo compiles the bench and runs it: some minutes"
$CARGO bench --locked --bench scale
