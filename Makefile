# Everything a fresh machine needs is Python 3.11 or later, make and git.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test check torture bench bench-peers clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Weft needs Python 3.11 or later; this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# Compiles our modules: where the environment forbids Python to keep what it compiles (PYTHONDONTWRITEBYTECODE), every start
# of `weft` would compile them anew.
$(READY): $(VENV)/.installed $(shell find src -name '*.py')
	$(BIN)/python -m compileall -q src
	touch $@

# Runs the census of Python's standard library and shows its report.
demo: $(READY)
	$(BIN)/weft run examples/census.flow.md
	@echo
	@head -n 40 examples/out/census.md

# The fast suite: under 10 minutes on 2 cores.
test: $(READY)
	$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not torture'

# Lint, format and types.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

# The long proofs: kills, power cuts, full disks, fuzzing at full count. See docs/proofs.md.
torture: $(READY)
	WEFT_TIMED=1 $(BIN)/python -m pytest -q tests -m torture --durations=20
	WEFT_TIMED=1 WEFT_FUZZ_SCALE=34 $(BIN)/python -m pytest -q tests -m "not torture" -k "fuzz or bounds or regex or redaction or hazards or globs" --durations=10

# Figures, as ratios to a baseline in the same process.
bench: $(READY)
	$(BIN)/python -m bench

# What a task costs in other engines, beside ours, each in an environment of its own; about 7 minutes. The rows say which were installed.
PEERS := build/peers/.venv
$(PEERS)/.installed: bench/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers.txt
	touch $@

bench-peers: $(READY) $(PEERS)/.installed
	$(BIN)/python -m bench.peers

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
