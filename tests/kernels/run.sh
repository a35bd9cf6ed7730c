#!/usr/bin/env bash
# Runs the tests of the sinks and of the guard on other kernels: Debian's, each in a machine of qemu's.
#
# The kernel packages are unpacked, not installed. Programs and libraries in the machine are this
# machine's, so it is the kernel alone that differs. Results: a table, and $WORK/RELEASE.log.
#
#   RELEASES   Debian releases whose kernels are taken   (bookworm: 6.1, trixie: 6.12)
#   TESTS      filters of the tests of guard and wire; those of the sinks are run all
#   MIRROR     where packages come from
#   ACCEL      tcg emulates the processor, and works everywhere; kvm is faster where it works
#   PATIENCE   seconds that a machine may run
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/sbin:/sbin"
RELEASES=${RELEASES:-bookworm trixie}
TESTS=${TESTS:-bans:: pause:: kernel_lost:: heal verify include:: lists::lists_
    attackers::connection attackers::deleted attackers::guessing attackers::without unavailable::}
MIRROR=${MIRROR:-http://deb.debian.org}
ACCEL=${ACCEL:-tcg}
PATIENCE=${PATIENCE:-1800}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
TARGET=$(realpath -m "${CARGO_TARGET_DIR:-target}")
WORK=$TARGET/kernels
CARGO=${CARGO:-cargo}
[ -n "${CARGO_TARGET_DIR:-}" ] || unset CARGO_TARGET_DIR
mkdir -p "$WORK"

fail() {
    echo "$1" >&2
    exit 1
}

possible() {
    [ "$(ldd "$(command -v busybox)" 2>&1 | grep -c 'not a dynamic')" = 1 ] \
        || fail "busybox is not static; as root: apt-get install busybox-static"
    [ "$(uname -m)" = x86_64 ] || fail "the kernels that are fetched are for x86_64; this is $(uname -m)"
    [ -e "$KEYRING" ] || fail "$KEYRING is not there; as root: apt-get install debian-archive-keyring"
}

# apt-get with lists of its own, so that the releases do not get mixed up with this machine's.
apt_of() {
    local release=$1 dir=$WORK/$1/apt
    shift
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    printf 'deb [arch=amd64 signed-by=%s] %s/debian %s main\ndeb [arch=amd64 signed-by=%s] %s/debian-security %s-security main\n' \
        "$KEYRING" "$MIRROR" "$release" "$KEYRING" "$MIRROR" "$release" >"$dir/sources.list"
    touch "$dir/status"
    local program=$1
    shift
    "$program" -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$dir" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root "$@"
}

# Fetches and unpacks a release's kernel, unless it is there.
fetch() {
    local release=$1 dir=$WORK/$1
    ls "$dir"/kernel/boot/vmlinuz-* >/dev/null 2>&1 && return
    echo "fetching the kernel of $release"
    apt_of "$release" apt-get update
    local package
    package=$(apt_of "$release" apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1)
    [ -n "$package" ] || fail "$MIRROR has no linux-image-amd64 for $release"
    (cd "$dir" && apt_of "$release" apt-get download "$package")
    rm -rf "$dir/kernel"
    mkdir "$dir/kernel"
    dpkg-deb -x "$dir/$package"_*.deb "$dir/kernel"
    rm -f "$dir/$package"_*.deb
    rm -rf "$dir/apt"
}

# Copies programs to the same paths below $ROOT, with the libraries that they need.
put() {
    local file lib
    for file in "$@"; do
        cp -Lf --parents "$file" "$ROOT"
        for lib in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
            [ -e "$ROOT$lib" ] || cp -L --parents "$lib" "$ROOT"
        done
    done
}

# What all machines have: programs, tests, and the file that runs them.
make_root() {
    ROOT=$WORK/root
    rm -rf "$ROOT"
    mkdir -p "$ROOT"/{dev,proc,sys,run,tmp,etc,root,var,bb,tests}
    # Busybox's shell prefers its own `ip` to the real one, hence another shell.
    local program
    for program in $(dev/need.sh --list test) env install mkfifo mount script setpriv sh unshare; do
        program=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin type -P "$program")
        put "$(readlink -f "$program")" "$program"
    done
    # What Python needs to begin, and what the tests' peers import.
    local lib
    lib=$(/usr/bin/python3 -c 'import os; print(os.path.dirname(os.__file__))')
    cp --parents "$lib"/*.py "$ROOT"
    cp -r --parents "$lib"/{encodings,collections,re,lib-dynload,importlib} "$ROOT" 2>/dev/null || true
    local so
    for so in "$ROOT$lib"/lib-dynload/*.so; do
        case $so in */select.*|*/_struct.*|*/_socket.*|*/math.*|*/array.*|*/fcntl.*) ;; *) rm "$so" ;; esac
    done
    cp "$(command -v busybox)" "$ROOT/bb/busybox"
    printf 'root:x:0:0:root:/root:/bb/sh\nnobody:x:65534:65534:nobody:/:/bb/sh\n' >"$ROOT/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$ROOT/etc/group"
    echo '127.0.0.1 localhost' >"$ROOT/etc/hosts"
    local built
    built=$($CARGO test --locked --no-run --test kernel --test guard --test wire 2>&1) || fail "$built"
    local test path
    for test in kernel guard wire; do
        path=$(sed -n "s|.*Executable tests/$test/main.rs (\(.*\))|\1|p" <<<"$built")
        [ -x "$path" ] || fail "cargo does not say where the test $test is: $built"
        put "$path"
        strip -o "$ROOT/tests/$test" "$path"
        rm "$ROOT/$path"
    done
    # Where the tests look for it: that path is compiled in.
    local program=$TARGET/debug/asterguard
    put "$program"
    strip "$ROOT/$program"
    local filter
    for filter in $TESTS; do
        "$ROOT/tests/guard" --list "$filter" 2>&1 | grep -q ': test$' \
            || "$ROOT/tests/wire" --list "$filter" 2>&1 | grep -q ': test$' || fail "no test is called $filter"
    done
    cp tests/kernels/init tests/kernels/probe.py "$ROOT/"
    echo "$TESTS" >"$ROOT/tests/filters"
}

# A release's memory disk: the root, and its kernel's modules for the network.
make_disk() {
    local release=$1 dir=$WORK/$1 version modules
    version=$(basename "$dir"/kernel/boot/vmlinuz-* | sed 's/vmlinuz-//')
    modules=$(dirname "$(find "$dir/kernel" -name modules.builtin)")
    rm -rf "$dir/disk"
    mkdir -p "$dir/disk/lib/modules/$version"
    (cd "$modules" && cp modules.builtin modules.order "$dir/disk/lib/modules/$version/" \
        && cp -r --parents kernel/net kernel/lib kernel/drivers/net/veth.ko* kernel/drivers/net/dummy.ko* \
            kernel/crypto "$dir/disk/lib/modules/$version/")
    find "$dir/disk" -name '*.xz' -exec xz -d {} +
    busybox depmod -b "$dir/disk" "$version"
    {
        (cd "$ROOT" && find . -print0 | cpio --null -o -H newc --quiet)
        (cd "$dir/disk" && find . -print0 | cpio --null -o -H newc --quiet)
    } | gzip -1 >"$dir/initramfs.gz"
    rm -rf "$dir/disk"
}

boot() {
    local release=$1 dir=$WORK/$1 log=$WORK/$1.log
    echo "booting $(basename "$dir"/kernel/boot/vmlinuz-* | sed 's/vmlinuz-//') ($ACCEL)"
    timeout "$PATIENCE" qemu-system-x86_64 -machine "accel=$ACCEL" -cpu max -smp 2 -m 2048 -no-reboot \
        -display none -monitor none -serial "file:$log.raw" -nic none \
        -kernel "$dir"/kernel/boot/vmlinuz-* -initrd "$dir/initramfs.gz" \
        -append "console=ttyS0 quiet panic=-1 loglevel=3" </dev/null || true
    tr -d '\r' <"$log.raw" >"$log"
    rm "$log.raw"
}

# One row for each probe and test, one column for each kernel.
table() {
    local logs=() release
    for release in $RELEASES; do logs+=("$WORK/$release.log"); done
    awk '
        FNR == 1 { file++ }
        /^kernel: / { version[file] = $2 }
        /^probe: / { name = $0; sub(/^probe: /, "", name); sub(/ = .*/, "", name)
                     value = $0; sub(/.* = /, "", value); note("* " name, value) }
        /^test [^ ]+ \.\.\. / { note($2, $4) }
        /^finished$/ { done[file] = 1 }
        function note(name, value) {
            if (!(name in seen)) { seen[name] = 1; names[++count] = name }
            cell[name, file] = value
        }
        END {
            printf "%-78s", ""
            for (f = 1; f <= file; f++) printf " %-22s", version[f] ? version[f] : "never started"
            print ""
            bad = 0
            for (n = 1; n <= count; n++) {
                printf "%-78s", names[n]
                for (f = 1; f <= file; f++) {
                    value = cell[names[n], f]; if (value == "") value = "-"
                    if (value == "FAILED" || (value == "-" && names[n] !~ /^\*/)) bad++
                    printf " %-22s", value
                }
                print ""
            }
            for (f = 1; f <= file; f++) if (!done[f]) { print "kernel " f " did not get to the end"; bad++ }
            exit bad > 0
        }' "${logs[@]}"
}

possible
make_root
for release in $RELEASES; do
    fetch "$release"
    make_disk "$release"
    boot "$release"
done
table || fail "what went wrong is in $WORK/*.log"
