#!/usr/bin/env bash
# Compiles a crate of ours so that libFuzzer sees which code runs: cargo calls it in place of rustc (fuzz.sh).
rustc=$1
shift
case " $* " in
    *" --crate-name build_script_"*) ;;
    *)
        set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        ;;
esac
exec "$rustc" "$@"
