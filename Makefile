# Python 3.11 or newer and make are all that a machine needs. Every target sets .venv up first; that takes
# a minute once and nothing afterwards. Another Python: make test PYTHON=/path/to/python3.12
# Arguments: make test ARGS='-k clock', make demo ARGS=--json

.PHONY: help demo test lint style types walls generated format bench bench-peers binary test-binary packages fuzz fuzz-coverage soak power lock protos clean setup
.DEFAULT_GOAL := help

RUN := .venv/bin/python
ARGS ?=
PYTHON ?=

# Run a script of build/ with the first Python that is new enough and whole (Debian splits venv off).
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
WHOLE := import sys, venv, ensurepip, lzma, sqlite3, ssl; sys.exit(sys.version_info < (3, 11))
define with_python
for python in $(PYTHONS); do \
    if "$$python" -c '$(WHOLE)' >/dev/null 2>&1; then exec "$$python" $(1); fi; \
done; \
echo "make: no usable Python among: $(PYTHONS). anabranch needs Python 3.11 or newer with its venv module" \
    "(Debian, Ubuntu: install python3 and python3-venv), or name one: make PYTHON=/path/to/python3.12" >&2; \
exit 1
endef

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup ## a real hub and five edges on links that break: offline edits, merge, proof
	@.venv/bin/anabranch-hub demo --power-rig "'$(CURDIR)/$(RUN)' -m tests.edge.replica.lose_power" $(ARGS)

# A worker takes the tests of a file together and starts a Postgres and an OpenBao of its own: four are enough.
WORKERS := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
test: setup ## every test (one after the other: make test WORKERS=)
	@$(RUN) -m pytest $(WORKERS) $(ARGS)

lint: style types walls generated ## style, types, the walls between the rooms, generated code

style: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

# The scripts of build/ are one by one: the folder is no package, or it would hide the module `build`.
types: setup
	$(RUN) -m mypy
	@if [ -f benchmarks/__init__.py ]; then $(RUN) -m mypy -p benchmarks; fi
	@for script in build/*.py; do $(RUN) -m mypy "$$script" || exit 1; done

walls: setup
	.venv/bin/lint-imports

generated: setup
	@if [ -f build/protos.py ]; then $(RUN) build/protos.py --check; fi

format: setup ## let ruff write the style that lint wants
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: setup ## measure; prints one JSON object (make -s bench)
	@$(RUN) -m benchmarks $(ARGS)

bench-peers: setup ## the same work for its peers (pip, npm, apt) in .peers, one table with the ratios; 20 minutes
	@$(RUN) -m benchmarks.peers $(ARGS)

binary: ## dist/anabranch: the edge in one file that needs no Python (needs gcc; four minutes)
	@$(call with_python,build/edge_binary.py $(ARGS))

# test_failure looks into modules, which a single file keeps to itself. It unpacks itself once for all tests of
# commands, and for each of its own.
test-binary: setup ## the edge's tests of its command line, start-up, memory and bare systems against dist/anabranch
	@test -x dist/anabranch || { echo "make: dist/anabranch is not there yet: make binary" >&2; exit 2; }
	@rm -rf .binary/cache
	@ANABRANCH_UNDER_TEST=$(CURDIR)/dist/anabranch XDG_CACHE_HOME=$(CURDIR)/.binary/cache \
	    $(RUN) -m pytest tests/binary tests/edge/cli --ignore=tests/edge/cli/test_failure.py $(ARGS)

# nfpm is among the tools of make binary. musl has no glibc: the apk says that it needs gcompat, and was never run.
packages: ## dist/*.deb, *.rpm and *.apk of dist/anabranch, with a systemd unit (after make binary)
	@test -x dist/anabranch || { echo "make: dist/anabranch is not there yet: make binary" >&2; exit 2; }
	@for kind in deb rpm apk; do \
	    VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' edge/anabranch/__init__.py) \
	    GLIBC=$$(sed -n 's/^glibc = "\(.*\)"/\1/p' build/budget.toml) \
	    ARCH=$$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/') \
	    .binary/tools/bin/nfpm package --config build/packages/nfpm.yaml --packager $$kind --target dist/ || exit 1; \
	done

# atheris is a wheel for Linux on x86-64 and Python 3.11 alone, and no part of the locks: it gets a folder of its own.
ATHERIS := .fuzz/atheris-3.0.0
HAS_ATHERIS := import platform as p, sys; \
    sys.exit((p.system(), p.machine(), sys.version_info[:2]) != ("Linux", "x86_64", (3, 11)))
fuzz-coverage: setup ## coverage-guided fuzzing of every decoder; ARGS='--seconds 600' each
	@$(RUN) -c '$(HAS_ATHERIS)' || { echo "make: atheris 3.0.0 is there for Linux on x86-64 and Python 3.11" \
	    "alone; make fuzz mutates everywhere" >&2; exit 2; }
	@test -d $(ATHERIS) || $(RUN) -m pip install --quiet --no-deps --target $(ATHERIS) atheris==3.0.0
	@PYTHONPATH=$(ATHERIS) $(RUN) -m tests.fuzz.coverage $(ARGS)

fuzz: setup ## 200,000 mutated frames against the decoder
	@$(RUN) -m tests.fuzz --frames 200000 $(ARGS)

power: setup ## 200,000 power cuts under a working replica (ARGS='--cuts 1000000 --json')
	@$(RUN) -m tests.edge.replica.power --cuts 200000 $(ARGS)

soak: setup ## live new seeds for as long as told (ARGS='--minutes 30') and note it in docs/trust.md
	@$(RUN) -m tests.simulation.soak $(ARGS)

lock: ## write build/locks anew after a change of pyproject.toml (ARGS=--upgrade: newest versions)
	@$(call with_python,build/lock.py $(ARGS))

protos: setup ## generate the code of protos/ anew
	@$(RUN) build/protos.py $(ARGS)

clean: ## remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .binary .demo .peers dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@$(call with_python,build/setup_venv.py $(if $(PYTHON),--this-python))
