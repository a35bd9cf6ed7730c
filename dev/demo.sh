#!/usr/bin/env bash
# Builds the program and shows it at work, in network namespaces of its own (as root, or by sudo).
#
#   PROFILE  dev, if nothing else is said, because that is built in a third of the time
export PROFILE=${PROFILE:-dev}
. "$(dirname "$0")/common.sh"

dev/need.sh build demo
dev/build.sh
say "the demo: a minute, in network namespaces of its own"
if [ "$(id -u)" = 0 ]; then demo/demo.sh "$binary"; else sudo demo/demo.sh "$binary"; fi
