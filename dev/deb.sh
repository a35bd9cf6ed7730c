#!/usr/bin/env bash
# Builds the package for Debian 12 and later.
#
# What is built here asks for the C library of here, so a package for Debian 12 is built on Debian 12 (or anything
# with glibc 2.36 or older); packaging/debian/check sees to it.
#
#   DEB_ARCH      the architecture; arm64 builds for that one with Debian's cross compiler
#   DEB_REVISION  what comes after the version
#   DEB_DIR       where the package goes
. "$(dirname "$0")/common.sh"

here=$(dpkg --print-architecture)
arch=${DEB_ARCH:-$here}
revision=${DEB_REVISION:-1}
dir=${DEB_DIR:-$target/deb}
cross=()
if [ "$arch" != "$here" ]; then
    triple=aarch64-unknown-linux-gnu
    cross=(--target "$triple")
    # Apart, so that target/deb/asterguard_*.deb is the package for this machine.
    dir=${DEB_DIR:-$target/deb/$arch}
    dev/need.sh arm64
    rustup target add "$triple"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
fi
dev/need.sh build
cargo_tool cargo-deb 3.8.0
dev/pages.sh

mkdir -p "$dir"
rm -f "$dir"/*_"$arch".deb
say "cargo compiles asterguard and its crates ($PROFILE) for the package: with two cores, up to six minutes"
$CARGO deb --locked --quiet --strip --profile "$PROFILE" "${cross[@]}" --output "$dir/" --deb-revision "$revision"
packaging/debian/check "$dir"/asterguard_*-"$revision"_"$arch".deb
