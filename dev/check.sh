#!/usr/bin/env bash
# Checks formatting, lints, scripts, words, and the licences and sources of dependencies.
. "$(dirname "$0")/common.sh"

dev/need.sh build check
dev/rust.sh
cargo_tool cargo-deny 0.20.2

# Every script of the repository that is for a shell, whatever its name.
shells=()
while IFS= read -r file; do
    [[ $file = *.sh || $(head -c 40 "$file" | head -n 1 | tr -d '\0') =~ ^#!.*[/\ ](sh|bash)$ ]] && shells+=("$file")
done < <(git ls-files)

dev/docs-check.sh

set -x
shellcheck --external-sources --source-path=SCRIPTDIR --severity=warning "${shells[@]}"
$CARGO fmt --all --check
$CARGO clippy --locked --workspace --all-targets -- -D warnings
# The check of advisories is left out because it needs a clone of the advisory database, and so a network
# that allows that.
$CARGO deny --locked check licenses bans sources
