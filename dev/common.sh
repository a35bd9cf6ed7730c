# shellcheck shell=bash
# What the scripts beside it have in common: each sources it, and is at the root of the repository then.
#
#   PROFILE           release, or dev, which is built faster and runs slower
#   CARGO             the cargo that builds
#   CARGO_TARGET_DIR  where it builds, instead of target/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# nft and ip are there, which not everybody who builds has on the PATH.
export PATH="$PATH:/usr/sbin:/sbin"
[ -n "${CARGO_TARGET_DIR:-}" ] || unset CARGO_TARGET_DIR

CARGO=${CARGO:-cargo}
PROFILE=${PROFILE:-release}
target=${CARGO_TARGET_DIR:-target}
# Where cargo puts what it builds with this profile.
built=$PROFILE
[ "$PROFILE" != dev ] || built=debug
# shellcheck disable=SC2034 # read by the scripts that source this
binary=$target/$built/asterguard
# Here, wherever cargo builds: Cargo.toml names it, for the package.
# shellcheck disable=SC2034
pages=target/pages

# Says something before it starts to take time.
say() { printf '== %s\n' "$*" >&2; }

# cargo_tool NAME VERSION: has a subcommand of cargo's compiled, unless it is there.
cargo_tool() {
    ! command -v "$1" >/dev/null || return 0
    say "$1 is not there: cargo compiles $1 $2 first, which takes some minutes"
    $CARGO install --locked --debug "$1" --version "$2"
}
