# Every command of the project. `make check` and `make budget` are what CI runs.
# A recipe is one line; what takes more is a program in scripts/ or tests/.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

# One profile, and in each command all crates or HOSTS: a crate chosen alone would have its
# dependencies with other features, and wasmtime would be compiled again. The decoder, which does
# not need it, is tested in the dev profile, whose arithmetic panics on overflow.
CARGO := cargo
PYTHON := .venv/bin/python
HOSTS := --package pgoutput-decoder-host --package pgoutput-decoder-python \
	--package pgoutput-decoder-tests
# Where the plugins are that tests/build.rs compiles.
GUESTS := target/component/wasm32-unknown-unknown/component
# The component's shell compiles for wasm alone. Clippy links nothing, so it may look at it here.
AS_WASM := --cfg 'target_family="wasm"' --allow explicit_builtin_cfgs_in_flags
MEASURED := --rcfile=python/pyproject.toml
BENCH := PYTHONPATH=tests $(PYTHON) -m bench
SOURCES := python tests examples hosts scripts/budget scripts/component scripts/fuzz scripts/mutants scripts/smoke scripts/wheel

export VIRTUAL_ENV := $(CURDIR)/.venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## Lists these commands.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' Makefile

.PHONY: bootstrap
bootstrap: ## Installs what is missing on this machine; quick when all is there.
	@scripts/bootstrap

.PHONY: build
build: bootstrap ## The release command: target/release/pgoutput-decoder.
	$(CARGO) build --locked --release --bin pgoutput-decoder

.PHONY: demo
demo: build ## A shop on a throw-away PostgreSQL, its changes on the screen.
	scripts/postgres run -- target/release/pgoutput-decoder demo

.PHONY: example
example: python ## NAME=search_index, or another of examples/, beside a throw-away PostgreSQL.
	@scripts/bootstrap examples $(NAME)
	@scripts/postgres run -- $(PYTHON) tests/example.py $(NAME)

.PHONY: check
check: lint test bench-quick budget ## Exactly what CI runs.

.PHONY: test
test: bootstrap test-decoder test-host test-python ## All tests that every change must pass.

.PHONY: test-decoder
test-decoder: ## The decoder's own tests, its properties and its fuzz corpus, in the dev profile.
	$(CARGO) test --locked --package pgoutput-decoder --package pgoutput-decoder-fuzz

.PHONY: test-host
test-host: ## Host, command, sandbox and vectors, beside a throw-away PostgreSQL.
	scripts/postgres run -- $(CARGO) test --no-fail-fast --locked --release $(HOSTS)

.PHONY: test-python
test-python: python ## The Python package and the README's examples; 95 % of its lines and branches.
	$(CARGO) build --locked --release $(HOSTS) --lib
	scripts/postgres run -- $(PYTHON) -m coverage run $(MEASURED) -m pytest python/tests
	@$(PYTHON) -m coverage combine $(MEASURED) --quiet
	@$(PYTHON) -m coverage report $(MEASURED)

.PHONY: coverage
coverage: bootstrap ## Which lines of Rust and Python the tests run, as HTML in target/coverage.
	scripts/coverage $(HOSTS)

.PHONY: test-full
test-full: test test-examples plugins hosts playground-test test-mutants test-controls test-damage test-large test-containers reliability ## Every test there is.

.PHONY: test-examples
test-examples: python ## Every example beside real servers, a broker and a browser; killed, too.
	-@scripts/bootstrap examples cache kafka_producer browser
	scripts/postgres run -- $(PYTHON) -m pytest python/tests/examples

.PHONY: plugins
plugins: python ## Every plugin and template, built in its language and run; hostile ones; 1,000 reloads.
	$(CARGO) build --locked --release $(HOSTS) --lib --bins
	scripts/plugins
	$(CARGO) test --locked --release $(HOSTS) --test plugins
	scripts/postgres run -- $(PYTHON) -m pytest python/tests/plugins
	RELOADS=$(or $(RELOADS),1000) scripts/postgres run -- $(CARGO) test --locked --release $(HOSTS) --test replication -- plugged

.PHONY: hosts
hosts: bootstrap ## Every host of the decoder over every vector and 100,000 events: a table. ONLY=go, ROUNDS=5.
	$(CARGO) build --locked --release $(HOSTS) --package pgoutput-decoder-example --lib --bins --example recorded
	@$(PYTHON) scripts/component --plain
	scripts/postgres run -- $(PYTHON) tests/hosts.py $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: playground
playground: wasm ## The page that shows recordings, in playground/dist; `pgoutput-decoder playground` serves it.
	cd playground && npm install --no-audit --no-fund && npm run build

.PHONY: playground-test
playground-test: playground build ## The page in a browser: its tests, and its pictures in docs/playground.
	-@scripts/bootstrap examples browser
	scripts/postgres run -- sh -c 'cd playground && npm test'

.PHONY: test-mutants
test-mutants: ## Slips of the decoder's state machine, one at a time: its tests catch each of them.
	scripts/mutants

.PHONY: test-controls
test-controls: bootstrap ## Promises of the host, broken one at a time: the chaos rig catches each within 50 runs.
	scripts/mutants tests/chaos/controls.toml

.PHONY: test-damage
test-damage: ## Every prefix and every flipped byte of every vector: minutes.
	$(CARGO) test --locked --profile fuzz --package pgoutput-decoder-fuzz --test vectors -- --ignored

.PHONY: test-large
test-large: build ## A transaction of 2 GB through the command: its memory and its files.
	$(PYTHON) tests/large_transaction.py

.PHONY: test-tls
test-tls: bootstrap ## Every sslmode and login against a real server with its own CA, as a table.
	scripts/postgres run -- $(CARGO) test --quiet --locked --release $(HOSTS) --test connection -- --nocapture matrix

.PHONY: test-versions
test-versions: python ## What needs a server, on PostgreSQL 12 to 18 (or VERSIONS="14 17"), JOBS (1) at a time.
	$(PYTHON) tests/versions.py --jobs $(or $(JOBS),1) $(VERSIONS)

.PHONY: reliability
reliability: python ## What is promised of a stream, measured, in a table. QUICK=1 waits less; VERSION=14.
	$(PYTHON) tests/reliability.py $(if $(QUICK),--quick) $(if $(VERSION),--version $(VERSION))

.PHONY: test-containers
test-containers: build ## The command beside a server in a container, restarted and paused: where Docker answers.
	$(CARGO) test --locked --release --package pgoutput-decoder-containers

.PHONY: fuzz
fuzz: ## Fuzzes the decoder for SECONDS (600): stops at a finding. KEEP=1 tracks what covers more.
	scripts/fuzz $(or $(SECONDS),600) $(if $(KEEP),--keep)

.PHONY: chaos
chaos: bootstrap ## RUNS (20) histories with kills, cuts and crashes, checked. SEED replays; VERSION=14.
	$(CARGO) test --quiet --locked --release $(HOSTS) --test chaos -- run --runs $(or $(RUNS),20) \
		$(if $(SEED),--seed $(SEED)) $(if $(VERSION),--version $(VERSION))

.PHONY: vectors
vectors: bootstrap ## The score against Debezium's own output.
	@$(CARGO) test --quiet --locked --release $(HOSTS) --test vectors -- --score

.PHONY: bench
bench: bench-build ## This project and its peers, an hour: tables, BENCHMARKS.md, docs/bench. FULL=1; ROUNDS=5.
	$(BENCH) $(if $(FULL),--full) $(if $(ROUNDS),--rounds $(ROUNDS))
	PYTHONPATH=tests $(PYTHON) -m bench.report

.PHONY: bench-quick
bench-quick: bench-build ## Nanoseconds an event, native and sandboxed; then our clients on little. CI runs it.
	target/release/examples/boundary
	$(BENCH) --smoke --only server,ceiling

.PHONY: bench-build
bench-build: python ## What the benchmarks run: the package, the library, the command and a client in Rust.
	$(CARGO) build --locked --release $(HOSTS) --lib --bins --example boundary --example reader

.PHONY: bench-micro
bench-micro: python ## Messages, types, strings, calls, Python's objects, each for itself. FILTER=values.
	$(CARGO) bench --locked $(HOSTS) --bench micro -- $(FILTER)
	PYTHONPATH=tests $(PYTHON) -m bench.micro

.PHONY: budget
budget: ## Instructions an event, by valgrind, beside tests/bench/budget.toml. RECORD=1 writes it.
	@scripts/bootstrap budget
	$(CARGO) build --locked --release $(HOSTS) --lib --bins --example counted
	$(PYTHON) scripts/budget $(if $(RECORD),--record)

.PHONY: bench-plugins
bench-plugins: bootstrap ## Nanoseconds an event that plugins cost, in each language.
	$(CARGO) build --locked --release $(HOSTS) --lib --bins
	scripts/plugins
	$(CARGO) run --locked --release --example boundary -- $(GUESTS) target/plugins
	scripts/postgres run -- $(CARGO) run --locked --release --example plugged -- $(GUESTS)/soft_deletes.wasm

.PHONY: bench-python
bench-python: bench-build ## The Python package and its peers, half an hour. QUICK=1 minutes, FULL=1 10 M events; ROUNDS=5.
	$(BENCH) --python --only server,ceiling,conduct,latency $(if $(QUICK),--quick) $(if $(FULL),--full) $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: python
python: bootstrap ## The Python package, built and installed in .venv.
	.venv/bin/maturin develop --locked --release --manifest-path python/Cargo.toml

.PHONY: wheel
wheel: bootstrap ## dist/*.whl, tried in fresh environments; SDIST=1; TARGET=aarch64-unknown-linux-gnu.
	$(PYTHON) scripts/wheel $(if $(SDIST),--sdist) $(if $(TARGET),--target $(TARGET))

.PHONY: wasm
wasm: bootstrap ## The component alone: the path of decoder.wasm.
	@$(PYTHON) scripts/component

.PHONY: lint
lint: bootstrap lint-rust lint-python ## Formatting, clippy, ruff and mypy; warnings are errors.

.PHONY: lint-rust
lint-rust: ## Formatting and clippy.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --release --all-targets -- --deny warnings
	$(CARGO) clippy --locked --release --package pgoutput-decoder-component --no-deps -- $(AS_WASM) --deny warnings
	$(CARGO) clippy --locked --release --all-targets --package pgoutput-decoder-containers -- --deny warnings

.PHONY: lint-python
lint-python: ## Formatting, ruff and mypy.
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/ruff check $(SOURCES)
	.venv/bin/mypy

.PHONY: fmt
fmt: bootstrap ## Formats Rust and Python.
	$(CARGO) fmt --all
	.venv/bin/ruff format $(SOURCES)
