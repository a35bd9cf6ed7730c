#!/usr/bin/env bash
# Says how to get Rust, rather than "command not found".
. "$(dirname "$0")/common.sh"

oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
program=${CARGO%% *} # it may be "cargo +1.85"
if ! command -v "$program" >/dev/null; then
    echo "Rust $oldest or newer is needed, and \`$program\` is not there. Get it with rustup" >&2
    echo "(https://rustup.rs) or, where that is new enough (Debian 13): apt-get install cargo" >&2
    exit 1
fi
version=$($CARGO --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1)" != "$oldest" ]; then
    echo "Rust $oldest or newer is needed, and this is $version. With rustup: rustup update stable" >&2
    exit 1
fi
