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

TARGET := $(or $(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/asterguard

.PHONY: help deps rust build test soak check coverage bench fuzz demo install uninstall

help: ## Say what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 12
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
soak: deps rust ## Ten million hostile messages (MESSAGES, SEED): does one name an innocent host, is a line slow?
	@SEED=$(SEED) MESSAGES=$(MESSAGES) \
		$(CARGO) test --locked --release --test hostile -- --nocapture nobody_who_did_nothing
	$(CARGO) test --locked --release --test slow_lines -- --nocapture

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
coverage: deps rust ## Write docs/coverage.md: each message, and what fail2ban makes of it (apt-get fetches it)
	@rm -rf $(FAIL2BAN)
	mkdir -p $(FAIL2BAN)
	fetch() { (cd $(FAIL2BAN) && apt-get -qq -o APT::Sandbox::User=root download fail2ban); }
	fetch 2>/dev/null || { apt-get update -qq && fetch; }
	dpkg-deb -x $(FAIL2BAN)/fail2ban_*.deb $(FAIL2BAN)
	$(CARGO) run --locked --quiet --example coverage -- $(FAIL2BAN)

bench: deps rust ## Measure: the parts by themselves, then from a log file to the decision
	@set -x
	$(CARGO) bench --locked --bench parts -- --quick --noplot
	$(CARGO) bench --locked --bench pipeline

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

install: ## Install what was built into PREFIX, with a default configuration and a systemd unit
	@[ -x $(BINARY) ] || { echo "$(BINARY) is not there yet: make build" >&2; exit 1; }
	set -x
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/asterguard
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/bin/|$(PREFIX)/bin/|' packaging/systemd/asterguard.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/asterguard.service
	# A configuration that is there is yours.
	[ -e $(DESTDIR)/etc/asterguard/asterguard.toml ] \
		|| install -Dm644 packaging/etc/asterguard.toml $(DESTDIR)/etc/asterguard/asterguard.toml
	set +x
	echo "Now: systemctl daemon-reload && systemctl enable --now asterguard"

uninstall: ## Remove what install put there, except /etc/asterguard
	@set -x
	rm -f $(DESTDIR)$(PREFIX)/bin/asterguard $(DESTDIR)$(PREFIX)/lib/systemd/system/asterguard.service
	set +x
	echo "Left: /etc/asterguard, and bans in force (to end them: nft delete table inet asterguard)"
