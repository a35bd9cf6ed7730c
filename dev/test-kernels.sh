#!/usr/bin/env bash
# Runs the kernel's tests on Debian's 6.1 and 6.12, in machines of qemu's; see tests/kernels/run.sh.
. "$(dirname "$0")/common.sh"

dev/need.sh build test test-kernels
dev/rust.sh
say "kernels are fetched, and booted in emulated machines: half an hour"
CARGO=$CARGO tests/kernels/run.sh
