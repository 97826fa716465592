# Everything in two commands: `make reproduce` and `make test`. Needs Python 3.11+ and make.
PYTHON ?= python3
CONFIG ?= config/config.yaml
CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG) \
	--workflow-profile workflow/profiles/local

.PHONY: reproduce report unlock test lint lock clean

reproduce: $(VENV)/installed
	$(SNAKEMAKE)
	@echo "Figures and tables of $(CONFIG) are up to date."

report: reproduce
	$(SNAKEMAKE) --report results/report.html
	@echo "Wrote results/report.html."

# After a power cut or kill -9: Snakemake's lock outlives it. Then `make reproduce` resumes.
unlock: $(VENV)/installed
	$(SNAKEMAKE) --unlock

test: $(VENV)/installed
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

# One stamp for the whole environment: made again when the pins or the package's metadata change.
$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	f'convexbn needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

# Needs uv (pip install uv).
lock:
	uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras \
	--no-annotate --no-header --quiet pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .snakemake results/*
