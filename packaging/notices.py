#!/usr/bin/env python3
"""Writes the licences and notices of the crates that the program is linked with."""

import json
import pathlib
import subprocess

NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    linked = run("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}")
    linked = {tuple(line.split()[:2]) for line in linked.splitlines() if line}
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    print("asterguard is linked with these crates. Each has its licences and notices below.\n")
    texts = []
    for crate in sorted(metadata["packages"], key=lambda crate: (crate["name"], crate["version"])):
        if (crate["name"], "v" + crate["version"]) not in linked or crate["name"] == "asterguard":
            continue
        title = f"{crate['name']} {crate['version']} ({crate['license']})"
        print(f"  {title}")
        directory = pathlib.Path(crate["manifest_path"]).parent
        files = sorted(path for path in directory.iterdir() if path.name.upper().startswith(NAMES))
        texts.append((title, ", ".join(crate["authors"]), [path for path in files if path.is_file()]))
    for title, authors, files in texts:
        print(f"\n\n==== {title}\n")
        if authors:
            print(f"Authors: {authors}")
        for path in files:
            # The text of the Apache licence is in /usr/share/common-licenses on every Debian.
            text = path.read_text(errors="replace")
            if "Apache License" in text and "Version 2.0, January 2004" in text:
                print("\nApache License, Version 2.0: /usr/share/common-licenses/Apache-2.0")
            else:
                print(f"\n{text.strip()}")


main()
