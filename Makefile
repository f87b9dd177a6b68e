# `make` lists the targets. Each installs what it lacks (tests/install.sh) and can be repeated.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

# Where cargo puts what `make test` starts.
DEBUG := $(abspath $(or $(CARGO_TARGET_DIR),target))/debug
RELEASE := $(abspath $(or $(CARGO_TARGET_DIR),target))/release

# Always the same selection of packages, features and targets: another one would build AWS-LC again.
SELECTION := --workspace --all-features --all-targets

NPM_CI := npm ci --ignore-scripts --no-audit --no-fund

# What bench-chapters measures, beside the core.
SERVERS := ch01-simplest-server ch02-processes-and-signals ch03-socketpair ch04-epoll ch06-channel

# What is fuzzed, for how long, and with what watching: `none` is fastest, `address` sees bad accesses of unsafe code as well.
TARGET ?= stun
SECONDS ?= 600
SANITIZER ?= none

# cargo-fuzz wants the flags of a nightly compiler; the stable one takes them if it is told that it may.
FUZZ = $(if $(findstring nightly,$(shell rustup toolchain list 2>/dev/null)),cargo +nightly fuzz,RUSTC_BOOTSTRAP=1 cargo fuzz)

# What is passed to the program: make demo ARGS="--listen 0.0.0.0:8443"
ARGS ?=

.PHONY: help demo test test-rust test-node test-mediasoup test-browser test-clients test-book lint fmt book book-check book-record bench bench-forward bench-io bench-chapters bench-layers bench-costs bench-quick plot-congestion clean

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

demo: ## builds and serves the conference on https://localhost:4443/
	@tests/install.sh build
	cargo run --release -p sfu-conference -- $(ARGS)

test: ## runs everything that CI runs
	@tests/install.sh test
	@$(MAKE) --no-print-directory lint test-rust test-node test-mediasoup test-browser test-clients test-book bench-quick
	@echo "make test: everything passed"

lint: ## checks formatting and clippy's advice
	cargo fmt --all --check
	cargo clippy $(SELECTION) -- --deny warnings

# The programs first: tests start them as processes.
test-rust: ## runs the tests of all crates, libsrtp2's included
	cargo build $(SELECTION)
	cargo test --workspace --all-features

test-node: ## runs the unmodified npm package mediasoup on our worker
	cargo build $(SELECTION)
	cd tests/node && $(NPM_CI) && SFU_WORKER_BIN=$(DEBUG)/sfu-worker node --test

# Three times, since what fails now and then fails.
test-mediasoup: ## runs mediasoup's own tests, unmodified, on our worker
	cargo build $(SELECTION)
	cd tests/mediasoup && $(NPM_CI) && for run in 1 2 3; do SFU_WORKER_BIN=$(DEBUG)/sfu-worker node run.mjs; done

test-browser: ## runs the conference with real browsers
	cargo build $(SELECTION)
	cd tests/browser && $(NPM_CI) && SFU_CONFERENCE_BIN=$(DEBUG)/sfu-conference node --test

test-clients: ## runs mediasoup-client in real browsers against the npm package mediasoup on our worker
	cargo build $(SELECTION)
	cd tests/clients && $(NPM_CI) && SFU_WORKER_BIN=$(DEBUG)/sfu-worker node --test

# What the book shows is what the programs print today, and every command in it works.
test-book: ## checks the book: anchors, links, transcripts, and every command shown
	@tests/install.sh book
	cargo build $(SELECTION)
	cargo run --quiet --package book-tool -- check
	mdbook build book

fmt: ## formats the code
	cargo fmt --all

book: ## builds the book into book/book/, to be opened offline
	@tests/install.sh book
	mdbook build book

book-check: test-book ## the same as test-book

book-record: ## records anew what the book shows of the programs' output
	@tests/install.sh book
	cargo run --quiet --package book-tool -- record

bench: ## times the core's functions one by one, with criterion
	@tests/install.sh test
	cargo bench -p benches --all-features --bench micro -- $(ARGS)

# Two builds of the same code count the same, on a busy machine too.
.PHONY: bench-instructions
bench-instructions: ## counts the instructions of the same functions, and says which have more than the baseline
	@tests/install.sh count
	cargo build --release -p benches --bin bench-instructions
	$(RELEASE)/bench-instructions $(ARGS)

bench-forward: ## measures the worker: packets per second, CPU per packet, latency, memory
	@tests/install.sh test
	cargo build --release -p sfu-worker -p benches --features sfu-worker/libsrtp,benches/libsrtp --bins
	$(RELEASE)/bench-forward $(ARGS)

# What bench-io starts lies beside it.
bench-io: ## measures chapter 05's drivers: CPU and system calls per packet, packets per second, latency
	@tests/install.sh test
	cargo build --release -p ch05-event-libraries -p benches --bins
	$(RELEASE)/bench-io $(ARGS)

# So do the servers that bench-chapters starts.
bench-chapters: ## measures the servers of chapters 01 to 04 and 06: CPU per echo or request, rate, latency, memory
	@tests/install.sh test
	cargo build --release $(foreach chapter,$(SERVERS),-p $(chapter)) -p sfu-worker -p benches --bins
	$(RELEASE)/bench-chapters $(ARGS)

bench-layers: ## measures what each layer of an SFU adds to the price of a forwarded packet
	@tests/install.sh test
	cargo build --release -p ch05-event-libraries -p sfu-worker -p benches --bins
	$(RELEASE)/bench-layers $(ARGS)

bench-costs: ## measures a worker's memory per entity, CPU per request, and connecting peers
	@tests/install.sh test
	cargo build --release -p sfu-worker -p benches --bins
	$(RELEASE)/bench-costs $(ARGS)

# Unoptimised programs, which the tests have built: their figures mean nothing.
bench-quick: ## runs every benchmark for some seconds, to see that it works
	@tests/install.sh test
	cargo build $(SELECTION)
	cargo test --quiet -p benches --all-features --bench micro
	$(DEBUG)/bench-forward --quick --backends evp
	$(DEBUG)/bench-io --quick
	$(DEBUG)/bench-chapters --quick
	$(DEBUG)/bench-layers --quick
	$(DEBUG)/bench-costs --quick

# What it finds of new ways through the code goes to tests/fuzz/target/corpus, beside the committed corpus: see tests/fuzz/README.md.
.PHONY: fuzz
fuzz: ## fuzzes one target: make fuzz TARGET=stun SECONDS=600
	@tests/install.sh fuzz
	mkdir -p tests/fuzz/target/corpus/$(TARGET)
	cd tests/fuzz && $(FUZZ) run --fuzz-dir . --sanitizer $(SANITIZER) $(TARGET) target/corpus/$(TARGET) corpus/$(TARGET) -- -max_total_time=$(SECONDS) -timeout=10 $(ARGS)

# The table of the same runs is a snapshot beside the test.
plot-congestion: ## runs the bandwidth estimator in a simulated network, and draws what came of it
	CONGESTION_CSV=$(CURDIR)/benches/results/congestion.csv cargo test --package sfu-proto --all-features --test congestion
	cargo run --package benches --bin plot-congestion -- benches/results/congestion.csv benches/results/congestion.svg

clean: ## removes what was built
	cargo clean
	rm -rf tests/fuzz/target
	rm -rf book/book tests/browser/node_modules tests/clients/node_modules tests/mediasoup/node_modules tests/node/node_modules
