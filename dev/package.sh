#!/usr/bin/env bash
# Fetches a Debian package, to compare with what is in it, and prints where it is. It is only asked, so it is unpacked
# and not installed: installed, it would start and ban. apt-get need not become another user for that.
#
#   package.sh NAME [SUITE]    SUITE: of Debian's, instead of this machine's own
. "$(dirname "$0")/common.sh"

name=$1 suite=${2:-}
place=$(realpath -m "$target/$name${suite:+-$suite}")
if [ -d "$place" ]; then
    echo "$place"
    exit
fi
say "apt-get fetches $name${suite:+ of $suite}: up to a minute"
rm -rf "$place.new"
mkdir -p "$place.new"
apt=(apt-get -qq -o APT::Sandbox::User=root)
if [ -n "$suite" ]; then
    # Lists of its own: this machine's stay as they are.
    lists=$place.apt
    mkdir -p "$lists/state/lists/partial" "$lists/cache/archives/partial" "$lists/sources"
    printf 'deb [signed-by=%s] http://deb.debian.org/debian %s main\n' \
        /usr/share/keyrings/debian-archive-keyring.gpg "$suite" >"$lists/sources/$suite.list"
    apt+=(-o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$lists/sources" -o Dir::State="$lists/state"
        -o Dir::State::status=/dev/null -o Dir::Cache="$lists/cache")
fi
fetch() { (cd "$place.new" && "${apt[@]}" download "$name") >&2; }
fetch 2>/dev/null || { "${apt[@]}" update && fetch; }
dpkg-deb -x "$place.new/$name"_*.deb "$place.new"
mv "$place.new" "$place"
[ -z "$suite" ] || rm -rf "$lists"
echo "$place"
