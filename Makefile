# make run     set everything up, build the page, serve http://127.0.0.1:8000   (ARGS="--port 9000")
# make test    set everything up, run every test    (make test-py ARGS="-k history", make test-web)
# make check   formatting, lint, types, and the tests that only read the sources
# make web     build the page into sioserver/_web
# make bench   sioserver beside Node's socket.io and python-socketio   (WORK="fanout echo", ARGS="--runs 1 --seconds 1")
# make fuzz    100 000 hostile inputs against a server with people in it   (ARGS="--inputs 5000 --seed 7")
# make lock    resolve the dependencies of pyproject.toml again into requirements/*.lock
# make clean   remove whatever make made
#
# Every step leaves a stamp named by the checksum of what it was made from, so nothing is done twice and a
# lock file that a checkout changed is noticed. All downloads go through pip, uv and npm.

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help run test test-py test-web check web lock clean setup setup-dev node chrome balancers bench fuzz
MAKEFLAGS += --no-builtin-rules --no-print-directory

BIN := .venv/bin
sum = $(shell cat $(1) 2>/dev/null | cksum | tr -d ' ')

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

# ---- Python -----------------------------------------------------------------------------------------
RUNTIME := .venv/.runtime-$(call sum,requirements/installer.lock requirements/build.lock requirements/runtime.lock pyproject.toml)
DEV := .venv/.dev-$(call sum,requirements/dev.lock)

setup: $(RUNTIME)
setup-dev: $(DEV)

.venv/.made:
	@python=$$(scripts/find-python) && echo "making .venv with $$python" && "$$python" -m venv --clear .venv
	@touch $@

# uv is ten times as fast; where it has no wheel, pip reads the same locks.
$(RUNTIME): .venv/.made
	@[ -x $(BIN)/uv ] || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes \
		--only-binary :all: -r requirements/installer.lock || echo "uv cannot be had here: pip does its work"
	scripts/install requirements/build.lock requirements/runtime.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@touch $@

$(DEV): $(RUNTIME)
	scripts/install requirements/dev.lock
	@touch $@

# ---- Node.js and a browser --------------------------------------------------------------------------
node:
	@scripts/find-node >/dev/null || { $(MAKE) setup && scripts/install requirements/node.lock; }
	@scripts/find-node >/dev/null || { echo "sioserver: needs Node.js 20.19 or newer with npm; install it from" \
		"your system, or set SIOSERVER_NODE=/path/to/node" >&2; exit 1; }

chrome: | node
	@scripts/find-chrome >/dev/null || [ -n "$$SIOSERVER_CHROME" ] || $(MAKE) .cache/chromium/chrome
	@scripts/find-chrome >/dev/null || { echo "sioserver: the tests need a browser and the one found does not start;" \
		"type: sudo apt-get install chromium, or set SIOSERVER_CHROME=/path/to/chrome" >&2; exit 1; }

# The sample configurations are tested with the real ones, and the Redis engine with the distribution's Redis too.
balancers: export PATH := $(PATH):/usr/sbin:/sbin
balancers:
	@have() { for tool in nginx haproxy redis-server; do command -v $$tool >/dev/null || return 1; done; }; \
	if ! have && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing nginx, HAProxy and Redis for the tests"; \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			--no-install-recommends nginx-light haproxy redis-server >/dev/null; fi; \
	have || echo "sioserver: the tests with nginx, HAProxy and the system's Redis are left out; type:" \
		"sudo apt-get install nginx-light haproxy redis-server" >&2

npm = node=$$(scripts/find-node) && export PATH="$$(dirname "$$node"):$$PATH" && cd $(1) && npm
modules = $(1)/node_modules/.made-$(call sum,$(1)/package-lock.json)
WEB_MODULES := $(call modules,web)
INTEROP_MODULES := $(call modules,tests/interop)
CHROME_MODULES := $(call modules,tests/e2e)

$(WEB_MODULES) $(INTEROP_MODULES) $(CHROME_MODULES): folder = $(patsubst %/node_modules/,%,$(dir $@))
$(WEB_MODULES) $(INTEROP_MODULES) $(CHROME_MODULES): | node
	@echo "npm ci in $(folder)"
	@$(call npm,$(folder)) ci --no-audit --no-fund --loglevel error
	@touch $@

.cache/chromium/chrome: tests/e2e/unpack-chromium.mjs $(CHROME_MODULES)
	@echo "unpacking Chromium into $(@D)"
	@$$(scripts/find-node) tests/e2e/unpack-chromium.mjs $(@D)

# ---- the page ---------------------------------------------------------------------------------------
PAGE := sioserver/_web/index.html

web: $(PAGE)
$(PAGE): $(shell find web/src web/public web/*.html web/*.ts web/*.json -type f 2>/dev/null) | $(WEB_MODULES)
	@$(call npm,web) run build
	@touch $@

# ---- the commands -----------------------------------------------------------------------------------
run: $(RUNTIME) $(PAGE)
	@exec $(BIN)/sioserver serve $(ARGS)

test: test-py test-web

test-py: $(DEV) $(PAGE) $(INTEROP_MODULES) chrome balancers
	SIOSERVER_TEST_NODE=$$(scripts/find-node) SIOSERVER_TEST_CHROME=$$(scripts/find-chrome) \
		$(BIN)/python -m pytest -n auto $(ARGS)

test-web: $(WEB_MODULES)
	@$(call npm,web) test

check: $(DEV) $(WEB_MODULES)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(call npm,web) run typecheck
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_mirror.py tests/test_docs.py tests/test_exports.py

# Names, versions and hashes only: where the files come from is each machine's own setting.
# ARGS=--upgrade takes the newest versions; without it what is locked stays, if pyproject.toml still allows it.
compile = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $(ARGS)
lock: $(RUNTIME) node
	$(compile) pyproject.toml --extra embedded -o requirements/runtime.lock
	$(compile) pyproject.toml --all-extras --group dev -c requirements/runtime.lock -o requirements/dev.lock
	for group in build installer node; do $(compile) --group $$group -o requirements/$$group.lock || exit 1; done
	for folder in web tests/interop tests/e2e benchmarks/peers; do ($(call npm,$$folder) install --package-lock-only \
		--omit-lockfile-registry-resolved --loglevel error) || exit 1; done

# ---- benchmarks -------------------------------------------------------------------------------------
bench: $(DEV) | node
	@export PATH="$$(dirname "$$(scripts/find-node)"):$$PATH" && $(BIN)/python -m benchmarks $(WORK) $(ARGS)

# ---- hostile input ----------------------------------------------------------------------------------
fuzz: $(DEV)
	@$(BIN)/python -m tests.fuzz $(ARGS)

clean:
	rm -rf .venv .cache build dist *.egg-info sioserver/_web web/node_modules tests/*/node_modules benchmarks/*/node_modules \
		.coverage* htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
