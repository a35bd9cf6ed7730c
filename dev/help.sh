#!/usr/bin/env bash
# Says what `make` can do: the comments behind the targets.
. "$(dirname "$0")/common.sh"

sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14
echo
echo "Variables: PREFIX=${PREFIX:-/usr/local} PROFILE=$PROFILE CARGO=$CARGO; in brackets, those of one target"
