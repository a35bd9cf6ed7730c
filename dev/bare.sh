#!/usr/bin/env bash
# Runs commands, each in a fresh clone of this repository's last commit, in a Debian that has nothing but git, make and
# Rust: what a command needs and does not install cannot hide there. As root; needs debootstrap, once for each suite.
#
#   bare.sh COMMAND...   e.g. bare.sh "make demo" "make test"
#
#   SUITE                the release (this machine's, if that is a Debian)
#
# It has its own files, processes and /run, and this machine's kernel, network and devices. Packages come from where
# this machine has its own from, Rust is the toolchain that is in use here, and crates that were fetched are shared.
# Crates that one command compiled are there for the next.
. "$(dirname "$0")/common.sh"

[ "$(id -u)" = 0 ] || { echo "$0: root is needed" >&2; exit 1; }
dev/need.sh bare
dev/rust.sh
here=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME" || echo bookworm)
suite=${SUITE:-$here}
place=$(realpath -m "$target/bare")
base=$place/$suite
rust=$(rustc --print sysroot)
crates=${CARGO_HOME:-$HOME/.cargo}/registry
[ "$rust" != /usr ] || { echo "$0: only a toolchain of rustup's can be lent; this one is Debian's" >&2; exit 1; }

# Where this machine has the suite's packages from: lines for sources.list.
sources() {
    local found
    found=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        | grep -E " $suite(-updates|-security)? main$" | sort -u) || true
    echo "${found:-deb http://deb.debian.org/debian $suite main}"
}

# The bare system; made once.
make_base() {
    [ ! -d "$base" ] || return 0
    say "debootstrap makes a bare Debian ($suite): a minute or two"
    rm -rf --one-file-system "$base.new"
    mkdir -p "$place"
    debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$base.new" \
        "$(sources | awk -v suite="$suite" '$3 == suite { print $2; exit }')" >"$base.log" 2>&1 \
        || { tail -n 20 "$base.log" >&2; exit 1; }
    rm -rf "$base.new"/var/cache/apt/archives/*.deb "$base.new"/var/lib/apt/lists/*
    # How packages, crates and names are reached here: proxies, certificates, servers.
    sources >"$base.new/etc/apt/sources.list"
    apt-config dump | grep '^Acquire::' >"$base.new/etc/apt/apt.conf.d/90host" || true
    cp -L /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt "$base.new/root/"
    mv "$base.new/root/resolv.conf" "$base.new/etc/"
    mv "$base.new/root/ca-certificates.crt" "$base.new/etc/ssl/certs/"
    echo '127.0.0.1 localhost' >"$base.new/etc/hosts"
    mkdir -p "$base.new/opt/rust" "$base.new/root/.cargo/registry" "$crates"
    [ ! -e "$crates/../config.toml" ] || cp "$crates/../config.toml" "$base.new/root/.cargo/"
    mv "$base.new" "$base"
}

make_base
compiled=$(mktemp -d "$place/compiled.XXXXXX")
trap 'rm -rf --one-file-system "$compiled" ${root:+"$root"}' EXIT
git diff --quiet HEAD || say "what is not committed is not in the clone"

# run COMMAND: runs it in a new root, not only chroot: within that there would be no user namespaces. All ends with its
# first process.
run() {
    root=$(mktemp -d "$place/root.XXXXXX")
    cp -a "$base/." "$root"
    git clone --quiet . "$root/root/asterguard"
    mkdir -p "$root/root/asterguard/target/debug"
    unshare --mount --propagation private --pid --fork --kill-child --ipc --uts bash -c '
        set -e
        root=$1 rust=$2 crates=$3 compiled=$4 command=$5
        mount --bind "$root" "$root"
        cd "$root"
        mount -t proc proc proc
        mount --rbind /sys sys
        mount --rbind /dev dev
        mount -t tmpfs -o mode=755 tmpfs run
        mount --bind "$rust" opt/rust
        mount -o remount,bind,ro opt/rust
        mount --bind "$crates" root/.cargo/registry
        mount --bind "$compiled" root/asterguard/target/debug
        pivot_root . mnt
        umount --lazy /mnt
        code=0
        env -C /root/asterguard -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" CI="${CI:-}" \
            CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}" CARGO_INCREMENTAL="${CARGO_INCREMENTAL:-1}" \
            PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -c "$command" || code=$?
        exit $code # so that it is bash which is the first process, and looks after orphans
        ' bare "$root" "$rust" "$crates" "$compiled" "$1"
    rm -rf --one-file-system "$root"
}

for command; do
    say "$command in a bare Debian ($suite)"
    SECONDS=0
    run "$command"
    printf '== %s took %d min %d s in a bare Debian (%s)\n' "$command" $((SECONDS / 60)) $((SECONDS % 60)) "$suite"
done
