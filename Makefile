# asterguard: `make help` says what there is. Each target is a script in dev/, which says what it reads of the
# environment; what is given here (`make soak KILLS=50`) is there, too.

.DEFAULT_GOAL := help
.PHONY: help deps rust build test callgrind callgrind-check soak test-kernels nightly check docs-check coverage dashboard-check report-shots bench bench-kernel bench-exchange bench-geofence \
	bench-fleet bench-peers bench-scale fuzz demo static pages deb \
	test-deb test-fleet test-fleet-walk test-switch bare install uninstall

help: ## Say what there is
	@dev/help.sh

deps: ## Install what building and testing need (by apt-get, as root), if anything is missing
	@dev/need.sh build demo test check fuzz pages

# Says how to get Rust, rather than "command not found".
rust:
	@dev/rust.sh

build: ## Build the program
	@dev/build.sh

demo: ## Show it at work, in network namespaces of its own (as root, or by sudo; built as PROFILE=dev)
	@dev/demo.sh

test: ## Run all tests; as root, those with a real kernel too (in network namespaces of their own)
	@dev/test.sh

check: ## Check formatting, lints, scripts, licences and sources of dependencies
	@dev/check.sh

docs-check: ## Check the spelling and style of README and docs, and the spelling of help texts (part of `check`)
	@dev/docs-check.sh

fuzz: ## Fuzz the readers of logs and files, FUZZ_SECONDS each
	@dev/fuzz.sh

bare: ## Run `make demo` and `make test` in a clone, in a Debian with git, make and Rust only (as root)
	@dev/bare.sh "make demo" "make test"

soak: ## What takes long (MESSAGES, SEED, SOURCES, RELOADS, KILLS, ROTATIONS, TORN): an hour at most
	@dev/soak.sh

test-kernels: ## Run the kernel's tests on Debian's 6.1 and 6.12, in machines of qemu's (RELEASES, TESTS, ACCEL)
	@dev/test-kernels.sh

test-deb: ## Install, use, upgrade and purge the package in Debian 12 and 13 (SUITES; as root)
	@dev/test-deb.sh

test-fleet: ## Run the tests of the fleet with Valkey; `make test` runs them with Redis
	@dev/test-fleet.sh

test-fleet-walk: ## Make the fleet that docs/fleet.md shows, in booted machines with Redis and Valkey (SUITES; as root)
	@dev/test-fleet-walk.sh

test-switch: ## Run the switch from fail2ban that docs/from-fail2ban.md shows, in a booted Debian (SUITES; as root)
	@dev/test-switch.sh

nightly: soak test-kernels test-deb test-fleet test-fleet-walk dashboard-check ## All that takes longer than .ci/run: two hours

coverage: ## Write docs/coverage.md: each message, and what fail2ban and CrowdSec make of it (as root; apt-get fetches them)
	@dev/coverage.sh

dashboard-check: ## Check docs/grafana.json against Grafana's own types, which npm fetches
	@dev/dashboard-check.sh

report-shots: ## Show the page of `report` in Chromium, and see that it fits on paper; writes docs/report-*.png
	@dev/report-shots.sh

bench: ## Measure: the parts by themselves, then from a log file to the decision, beside fail2ban
	@dev/bench.sh

callgrind: ## Count the instructions that a line of a log takes, and a command's start, by valgrind
	@dev/callgrind.sh

callgrind-check: ## Check that they are those of benches/instructions.txt, within 3 %
	@PROFILE=dev dev/callgrind.sh --check

bench-kernel: ## Measure, as root, from log line to kernel and after a flush, beside fail2ban (some minutes)
	@dev/bench-kernel.sh

bench-exchange: ## Measure, as root, from Asterisk's refusal to the kernel, and what exchanges cost (two minutes)
	@dev/bench-exchange.sh

bench-geofence: ## Measure, as root, what a geofence costs: loading, packets, other runs of nft (some minutes)
	@dev/bench-geofence.sh

bench-fleet: ## Measure how long joining a fleet with 100,000 bans takes, and a ban from guard to guard
	@dev/bench-fleet.sh

bench-peers: ## Measure whole programs on the same logs, with what each finds: fail2ban, fail2ban-rs, grep, wc
	@dev/bench-peers.sh

bench-scale: ## Measure what a line costs with more jails, rules, hosts, bans, files; writes docs/scale.svg
	@dev/bench-scale.sh

static: ## Build a program that needs no libraries (musl)
	@dev/static.sh

pages: ## Write manual pages, completions, and the notices of the crates that the program is linked with
	@dev/pages.sh

deb: ## Build the package for Debian 12 and later (DEB_ARCH=arm64 for another machine, DEB_REVISION)
	@dev/deb.sh

install: ## Install what `make build pages` made into PREFIX, with a default configuration and systemd units
	@dev/install.sh

uninstall: ## Remove what install put there, except /etc/asterguard
	@dev/install.sh --remove
