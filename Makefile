# Everything that is installed goes into .venv; only what the distribution must provide goes
# elsewhere. A stamp in .venv says which extras are in, so that a second run installs nothing.

PYTHON ?= python3
VENV   := .venv

define HELP
make run     install pagewalk into $(VENV) and run its main job
make check   what to run after each change, in a minute and a half: lint and the quick tests
make test    run all tests; installs g++, iverilog, verilator and chromium first if missing
make lint    check style and types
make fpga    measure the tables of area and clock in an FPGA, for an hour or two the first time
make docs    build the documentation in build/docs and run its examples
make clean   remove all that these have made in this folder, $(VENV) included

ARGS=...     further arguments for run, check, test and fpga:  make test ARGS="-k walker"
PYTHON=...   the interpreter to build $(VENV) from:  make run PYTHON=python3.12
endef

.PHONY: help run check test lint docs fpga clean tools
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@: $(info $(HELP))

run: $(VENV)/run.stamp
	$(VENV)/bin/pagewalk run $(ARGS)

# One worker per core; pytest run by hand has none, so that one file's tests start at once.
check: lint tools $(VENV)/test.stamp
	$(VENV)/bin/pytest -n auto -m "not slow and not cocotb" $(ARGS)

test: tools $(VENV)/test.stamp
	$(VENV)/bin/pytest -n auto $(ARGS)

# mypy does not see an editable installation, but it follows links.
lint: $(VENV)/lint.stamp
	@mkdir -p build/typing/pagewalk
	@for package in hdl model sim; do ln -sfn ../../../$$package build/typing/pagewalk/$$package; done
	$(VENV)/bin/ruff check --ignore-noqa
	$(VENV)/bin/mypy

# Warnings are errors: a reference that leads nowhere, a docstring that is not reStructuredText.
SPHINX := -m sphinx -W --keep-going -q -j auto -d build/doctrees
docs: $(VENV)/docs.stamp
	$(VENV)/bin/python $(SPHINX) -b html docs build/docs
	$(VENV)/bin/python $(SPHINX) -b doctest docs build/doctest
	@echo "The documentation is in build/docs/index.html"

# What was measured before and has not changed is not measured again.
fpga: $(VENV)/fpga.stamp
	@mkdir -p build
	@echo "This takes an hour or two the first time; stopped, it goes on where it was."
	$(VENV)/bin/pagewalk fpga --features --no-place -o build/fpga-features.csv $(ARGS)
	$(VENV)/bin/pagewalk fpga --peers -o build/fpga-peers.csv $(ARGS)
	$(VENV)/bin/pagewalk fpga --standard -o build/fpga-standard.csv $(ARGS)
	@echo "The tables are in build/fpga-*.csv"

clean:
	rm -rf $(VENV) build docs/reference/api *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/test.stamp: EXTRAS = [test,cocotb]
$(VENV)/lint.stamp: EXTRAS = [dev]
$(VENV)/docs.stamp: EXTRAS = [docs]
$(VENV)/fpga.stamp: EXTRAS = [fpga]
$(VENV)/%.stamp: pyproject.toml $(VENV)/venv.stamp
	@echo "Installing pagewalk$(EXTRAS) into $(VENV) ..."
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS)'
	@touch $@

# Debian's python3 has no ensurepip, and so no venv, before its package python3.N-venv is there.
$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or newer: choose one with PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		package=$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		$(call apt-install,$$package); }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Each command has the name of its Debian package.
tools:
	@missing=$$(for tool in g++ iverilog verilator chromium; do command -v $$tool >/dev/null || echo $$tool; done); \
	[ -z "$$missing" ] || $(call apt-install,$$missing)

# $(call apt-install,PACKAGES): install them as root or with sudo, or say in one line what to do.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
apt-install = { \
	for tool in apt-get $(SUDO); do command -v $$tool >/dev/null || { \
		echo "Please install (there is no $$tool to do it with):" $(1) >&2; exit 1; }; done; \
	echo "Installing" $(1) "..."; \
	$(SUDO) apt-get -qq update; \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install --no-install-recommends $(1) >/dev/null; }
