# asterguard: `make help` says what there is.

.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# nft and ip are there, which not everybody who builds has on the PATH.
export PATH := $(PATH):/usr/sbin:/sbin

PREFIX  ?= /usr/local
# `make demo PROFILE=dev` builds faster and runs slower.
PROFILE ?= release
CARGO   ?= cargo

# The oldest Rust that builds it (rust-version in Cargo.toml), and the cargo-deny that `check` uses.
MSRV       := 1.85
CARGO_DENY := 0.20.2
CARGO_DEB  := 3.8.0

TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/asterguard

.PHONY: help deps rust build test test-kernels soak check coverage bench bench-kernel fuzz demo pages deb test-deb static install uninstall

help: ## Say what there is
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14
	echo
	echo "Variables: PREFIX=$(PREFIX) PROFILE=$(PROFILE) CARGO=$(CARGO)"

deps: ## Install what building and testing need (by apt-get, as root), if anything is missing
	@missing=()
	need() { command -v "$$1" >/dev/null || missing+=("$${@:2}"); }
	need cc gcc libc6-dev
	need c++ g++
	need nft nftables
	need ip iproute2
	need python3 python3
	if [ $${#missing[@]} -gt 0 ]; then
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
			echo "Missing here; on Debian and Ubuntu, as root: apt-get install $${missing[*]}" >&2
			exit 1
		fi
		echo "Missing here, so apt-get installs it: $${missing[*]}"
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}"
	fi

# Says how to get Rust, rather than "command not found".
rust:
	@if ! command -v $(CARGO) >/dev/null; then
		echo "Rust $(MSRV) or newer is needed, and \`$(CARGO)\` is not there. Get it with rustup" >&2
		echo "(https://rustup.rs) or, where that is new enough (Debian 13): apt-get install cargo" >&2
		exit 1
	fi
	version=$$($(CARGO) --version | cut -d' ' -f2)
	if [ "$$(printf '%s\n' $(MSRV) "$$version" | sort -V | head -n 1)" != $(MSRV) ]; then
		echo "Rust $(MSRV) or newer is needed, and this is $$version. With rustup: rustup update stable" >&2
		exit 1
	fi

build: rust ## Build the program
	$(CARGO) build --locked --profile $(PROFILE)

test: deps rust ## Run all tests; as root, those with a real kernel too (in network namespaces of their own)
	@[ "$$(id -u)" = 0 ] || echo "not root: tests with network namespaces say that they are skipped" >&2
	$(CARGO) test --locked

# Each run makes other messages, unless it is given SEED, which a failure names.
MESSAGES ?= 10000000
SEED     ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
SOURCES   ?= 10000000
RELOADS   ?= 1000
KILLS     ?= 1000
ROTATIONS ?= 10000
# Each so many-th byte of the state file is where it is torn.
TORN      ?= 1
soak: deps rust ## What takes long (MESSAGES, SEED, SOURCES, RELOADS, KILLS, ROTATIONS, TORN): an hour at most
	@begin=$$SECONDS
	SEED=$(SEED) MESSAGES=$(MESSAGES) \
		$(CARGO) test --locked --release --test hostile -- --nocapture nobody_who_did_nothing
	$(CARGO) test --locked --release --test slow_lines -- --nocapture
	SOURCES=$(SOURCES) $(CARGO) test --locked --release --test many_sources -- --nocapture
	SOURCES=$(SOURCES) $(CARGO) test --locked --release --test guard -- --nocapture very_many_strangers
	RELOADS=$(RELOADS) $(CARGO) test --locked --release --test guard -- --nocapture under_load_every_line
	SEED=$(SEED) KILLS=$(KILLS) \
		$(CARGO) test --locked --release --test guard -- --nocapture nothing_is_lost
	# In memory, as each of some hundred thousand files is written for a moment only.
	TMPDIR=$$([ -w /dev/shm ] && echo /dev/shm || echo "$${TMPDIR:-/tmp}") TORN=$(TORN) \
		$(CARGO) test --locked --release --lib -- --nocapture torn_anywhere
	# 50 000 lines a second into files that stay in use for 20 ms each.
	ROTATIONS=$(ROTATIONS) $(CARGO) test --locked --release --test follow -- \
		--nocapture --test-threads=1 under_load
	echo "make soak took $$(((SECONDS - begin) / 60)) minutes"

test-kernels: deps rust ## Run the kernel's tests on Debian's 6.1 and 6.12, in machines of qemu's (RELEASES, TESTS, ACCEL)
	@CARGO="$(CARGO)" CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" tests/kernels/run.sh

check: deps rust ## Check formatting, lints, licences and sources of dependencies
	@set -x
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	# Only if it is not there: building it takes a few minutes. The check of advisories is left
	# out because it needs a clone of the advisory database, and so a network that allows that.
	command -v cargo-deny >/dev/null || $(CARGO) install --locked --debug cargo-deny --version $(CARGO_DENY)
	$(CARGO) deny --locked check licenses bans sources

# fail2ban is only asked, so its package is unpacked and not installed: installed, it would start and
# ban. apt-get need not become another user for that.
FAIL2BAN := $(TARGET)/fail2ban
coverage: deps rust $(FAIL2BAN) ## Write docs/coverage.md: each message, and what fail2ban makes of it (apt-get fetches it)
	@$(CARGO) run --locked --quiet --example coverage -- $(FAIL2BAN)

$(FAIL2BAN):
	@rm -rf $(FAIL2BAN).new
	mkdir -p $(FAIL2BAN).new
	fetch() { (cd $(FAIL2BAN).new && apt-get -qq -o APT::Sandbox::User=root download fail2ban); }
	fetch 2>/dev/null || { apt-get update -qq && fetch; }
	dpkg-deb -x $(FAIL2BAN).new/fail2ban_*.deb $(FAIL2BAN).new
	mv $(FAIL2BAN).new $(FAIL2BAN)

bench-kernel: deps rust $(FAIL2BAN) ## Measure, as root, from log line to kernel and after a flush, beside fail2ban (some minutes)
	@ASTERGUARD_FAIL2BAN=$(abspath $(FAIL2BAN)) $(CARGO) bench --locked --bench kernel

bench: deps rust $(FAIL2BAN) ## Measure: the parts by themselves, then from a log file to the decision, beside fail2ban
	@set -x
	$(CARGO) bench --locked --bench parts -- --quick --noplot
	ASTERGUARD_FAIL2BAN=$(abspath $(FAIL2BAN)) $(CARGO) bench --locked --bench pipeline

# A crate of its own, because its dependencies and flags are no business of the program's. The flags
# are those that libFuzzer needs to see which code runs; --target keeps them from build scripts.
FUZZ_SECONDS ?= 10
FUZZ_FLAGS   := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
fuzz: deps rust ## Fuzz the readers of logs and files, FUZZ_SECONDS each
	@cd fuzz
	host=$$(rustc -vV | sed -n 's/^host: //p')
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --locked --release --target "$$host"
	for target in lines prefix timestamp files scanner; do
		mkdir -p corpus/$$target artifacts
		echo "fuzzing $$target for $(FUZZ_SECONDS) s"
		"target/$$host/release/$$target" -max_total_time=$(FUZZ_SECONDS) -max_len=4000 \
			-artifact_prefix=artifacts/ corpus/$$target ../tests/data >artifacts/$$target.log 2>&1 \
			|| { tail -n 40 artifacts/$$target.log; exit 1; }
		tail -n 1 artifacts/$$target.log
	done

demo: deps build ## Show it at work, in network namespaces of its own (as root, or by sudo)
	@$(if $(filter-out 0,$(shell id -u)),sudo )demo/demo.sh $(BINARY)

# One file for every Linux of this machine's architecture. Its C library looks names up in /etc/hosts and
# DNS only.
STATIC := $(shell uname -m)-unknown-linux-musl
static: rust ## Build a program that needs no libraries (musl)
	@rustup target add $(STATIC)
	command -v musl-gcc >/dev/null || apt-get install -y -qq musl-tools
	$(CARGO) build --locked --profile $(PROFILE) --target $(STATIC)
	ls -l $(TARGET)/$(STATIC)/$(notdir $(patsubst %/,%,$(dir $(BINARY))))/asterguard

PAGES := $(TARGET)/pages
pages: rust ## Write manual pages, completions, and the notices of the crates that the program is linked with
	@rm -rf $(PAGES)
	$(CARGO) run --locked --quiet --example pages -- $(PAGES)
	packaging/notices.py >$(PAGES)/NOTICES

# DEB_ARCH=arm64 builds for that one, with Debian's cross compiler; DEB_REVISION is what comes after the
# version. What is built here asks for the C library of here, so a package for Debian 12 is built on
# Debian 12 (or anything with glibc 2.36 or older); packaging/debian/check sees to it.
HOST_ARCH    := $(shell dpkg --print-architecture 2>/dev/null)
DEB_ARCH     ?= $(HOST_ARCH)
DEB_REVISION ?= 1
DEB_CROSS    := $(if $(filter-out $(HOST_ARCH),$(DEB_ARCH)),--target aarch64-unknown-linux-gnu)
# A package for another machine is put apart, so that target/deb/asterguard_*.deb is the one for this.
DEB_DIR      := $(TARGET)/deb$(if $(DEB_CROSS),/$(DEB_ARCH))
CARGO_DEB_RUN = $(CARGO) deb --locked --quiet --strip --profile $(PROFILE) $(DEB_CROSS)
deb: deps rust pages ## Build the package for Debian 12 and later (DEB_ARCH=arm64 for another machine)
	@command -v cargo-deb >/dev/null || $(CARGO) install --locked --debug cargo-deb --version $(CARGO_DEB)
	if [ -n "$(DEB_CROSS)" ]; then
		rustup target add $(lastword $(DEB_CROSS))
		command -v aarch64-linux-gnu-gcc >/dev/null || apt-get install -y -qq gcc-aarch64-linux-gnu libc6-dev-arm64-cross
		export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
	fi
	mkdir -p $(DEB_DIR)
	rm -f $(DEB_DIR)/*_$(DEB_ARCH).deb
	$(CARGO_DEB_RUN) --output $(DEB_DIR)/ --deb-revision $(DEB_REVISION)
	packaging/debian/check $(DEB_DIR)/asterguard_*-$(DEB_REVISION)_$(DEB_ARCH).deb

# In machines with systemd of their own; see packaging/test/machine. KEEP the directory: debootstrap
# takes a minute for each suite, and nothing after that.
SUITES ?= bookworm trixie
test-deb: deb $(FAIL2BAN) ## Install, use, upgrade and purge the package in Debian 12 and 13 (as root; needs debootstrap)
	@command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap
	# The same program, but for the package's revision: what an upgrade is to dpkg.
	$(CARGO_DEB_RUN) --output $(DEB_DIR)/newer/ --no-build --deb-revision $(DEB_REVISION)+newer
	for suite in $(SUITES); do
		MACHINES=$(abspath $(TARGET))/machines packaging/test/life $$suite \
			$(abspath $(DEB_DIR))/asterguard_*_$(DEB_ARCH).deb $(abspath $(DEB_DIR))/newer/asterguard_*_$(DEB_ARCH).deb \
			"$$(find $(abspath $(FAIL2BAN)) -name fail2ban.service)"
	done

# For systems without a package of their own. It needs no Rust: build first, then install as root.
UNIT_DIR   := $(PREFIX)/lib/systemd/system
SHARE      := $(PREFIX)/share
UNITS      := $(notdir $(wildcard packaging/systemd/*.service packaging/systemd/*.socket))
COMPLETION := $(SHARE)/bash-completion/completions/asterguard $(SHARE)/zsh/site-functions/_asterguard \
	$(SHARE)/fish/vendor_completions.d/asterguard.fish
install: ## Install what `make build pages` made into PREFIX, with a default configuration and systemd units
	@[ -x $(BINARY) ] && [ -d $(PAGES) ] || { echo "$(BINARY) or $(PAGES) is not there yet: make build pages" >&2; exit 1; }
	to() { install -D -m "$$1" "$$2" "$(DESTDIR)$$3"; }
	to 755 $(BINARY) $(PREFIX)/bin/asterguard
	install -d $(DESTDIR)$(UNIT_DIR)
	for unit in $(UNITS); do
		sed 's|/usr/bin/asterguard|$(PREFIX)/bin/asterguard|' packaging/systemd/$$unit >$(DESTDIR)$(UNIT_DIR)/$$unit
	done
	to 644 packaging/systemd/asterguard.conf $(PREFIX)/lib/sysusers.d/asterguard.conf
	for file in rules/*.toml nft/*.nft; do to 644 $$file $(SHARE)/asterguard/$$file; done
	for page in $(PAGES)/man/*; do to 644 $$page $(SHARE)/man/man$${page##*.}/$${page##*/}; done
	for script in $(COMPLETION); do
		name=$${script##*/}
		to 644 $(PAGES)/completions/$${name/%asterguard/$$([ $$name = asterguard ] && echo asterguard.bash || echo asterguard)} $$script
	done
	# A configuration that is there is yours.
	for file in asterguard.toml conf.d/README rules.d/README; do
		[ -e $(DESTDIR)/etc/asterguard/$$file ] || to 644 packaging/etc/$$file /etc/asterguard/$$file
	done
	echo "Installed into $(DESTDIR)$(PREFIX). Now, with systemd:"
	echo "  systemd-sysusers $(PREFIX)/lib/sysusers.d/asterguard.conf; usermod -aG asterisk asterguard"
	echo "  systemctl daemon-reload; systemctl enable --now asterguard-names.socket asterguard-restore asterguard"
	echo "Elsewhere: docs/install.md"

uninstall: ## Remove what install put there, except /etc/asterguard
	@rm -f $(DESTDIR)$(PREFIX)/bin/asterguard $(addprefix $(DESTDIR)$(UNIT_DIR)/,$(UNITS))
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/asterguard.conf $(addprefix $(DESTDIR),$(COMPLETION))
	rm -f $(DESTDIR)$(SHARE)/man/man8/asterguard{,-*}.8 $(DESTDIR)$(SHARE)/man/man5/asterguard.toml.5
	rm -rf $(DESTDIR)$(SHARE)/asterguard
	echo "Left: /etc/asterguard, /var/lib/asterguard, the user asterguard, and bans in force (to end them:"
	echo "nft delete table inet asterguard)"
