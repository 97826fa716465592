# Everything in two commands: `make reproduce` and `make test`. Needs Python 3.11+ and make.
PYTHON ?= python3
CONFIG ?= config/config.yaml
CORES ?= 2
# PROFILE=slurm sends the jobs to a cluster, see docs/cluster.md.
PROFILE ?= local
VENV := .venv
RUN := $(VENV)/bin/python -m
INSTALL := $(VENV)/bin/python -I -m pip install --quiet --disable-pip-version-check
# A variable as one word of the shell, whatever characters are in it.
quoted = '$(subst ','\'',$(value $(1)))'
# MEMORY=12000 holds the jobs that run side by side below 12 GB: each states its own. Cores and memory
# are those of this machine; a cluster has its own in its profile.
IS_LOCAL := $(filter local,$(PROFILE))
SNAKEMAKE = $(RUN) snakemake $(if $(IS_LOCAL),--cores $(CORES)) --configfile $(call quoted,CONFIG) \
	--workflow-profile workflow/profiles/$(PROFILE) \
	$(if $(and $(IS_LOCAL),$(MEMORY)),--resources gpu=1 mem_mb=$(MEMORY))
ENVIRONMENT := $(VENV)/$(if $(IS_LOCAL),installed,slurm)

# This project's package, also after the project was moved, and not what is set for other projects.
export PYTHONPATH := $(CURDIR)/src
unexport PYTHONHOME SNAKEMAKE_PROFILE

.PHONY: reproduce report figures benchmark gpu unlock record verify crate test test-fast test-slurm lint lock clean

reproduce: $(ENVIRONMENT)
	$(SNAKEMAKE)
	@echo Figures and tables of $(call quoted,CONFIG) are up to date.

# One page, report/index.html in the folder of results, of what has been made; nothing else is. Snakemake's own
# report, also of the jobs: .venv/bin/snakemake --configfile config/config.yaml --report report.html
report: $(ENVIRONMENT)
	$(SNAKEMAKE) page --forcerun page --allowed-rules page
	@echo Wrote report/index.html in the results of $(call quoted,CONFIG).

# Every figure of CONFIG again, from the small tables that are kept: figures/**/*.csv, and those in the folders
# of the other experiments. Nothing that was expensive needs to be there.
PLOTS = $(shell $(SNAKEMAKE) --list-rules 2>/dev/null | grep '^plot_')
figures: $(ENVIRONMENT)
	$(SNAKEMAKE) figures --forceall --allowed-rules figures $(PLOTS)

# This library against its peers, in well over half an hour on two cores. Leave the machine alone meanwhile.
benchmark: CONFIG := config/benchmark.yaml
benchmark: $(VENV)/benchmark $(ENVIRONMENT)
	$(SNAKEMAKE)
	@echo "Tables in results/comparison/benchmark, figures in results/comparison/figures/benchmark."

# What a GPU is worth, in less than eight minutes: its tests, solves, a sweep of networks. Without .venv by PYTHON,
# which needs PyTorch, pandas, scikit-learn, safetensors and pytest alone; without a GPU small, on the CPU.
gpu:
	$(if $(wildcard $(VENV)/installed),$(VENV)/bin/python,$(call quoted,PYTHON)) \
	-m convexbn.experiments.benchmark.gpu results/gpu

# After a power cut or kill -9: Snakemake's lock outlives it. Then `make reproduce` resumes.
unlock: $(ENVIRONMENT)
	$(SNAKEMAKE) --unlock

# The small tables of the finished run of CONFIG to results/record, for git.
record: $(ENVIRONMENT)
	$(RUN) convexbn.reporting.record record $(call quoted,CONFIG)

# A run of one's own against the recorded one. Fails where a verdict changed, see results/record/README.md.
verify: $(ENVIRONMENT)
	$(RUN) convexbn.reporting.record verify $(call quoted,CONFIG)

# A worker per core; each takes whole files, so that what a file sets up is made once.
test: $(VENV)/installed
	$(RUN) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# The figures, tables and claims of CONFIG as an RO-Crate, with its config and software: crate.zip in its results.
crate: $(ENVIRONMENT)
	$(SNAKEMAKE) crate
	@echo Wrote crate.zip in the results of $(call quoted,CONFIG).

# The tests of the library, its pipeline and its tables: without those that start Snakemake, train in experiments
# or are marked slow. For while one works; `make test` is what must pass.
test-fast: $(VENV)/installed
	$(RUN) pytest -n $(CORES) --dist loadfile -m "not slow" --ignore tests/workflow --ignore tests/experiments

# Jobs and faults on a Slurm cluster of its own, in minutes. Without Slurm it names what to install, and fails.
test-slurm: $(VENV)/slurm
	$(RUN) pytest tests/slurm

lint: $(VENV)/installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) snakefmt --check Snakefile workflow
	$(RUN) snakemake --lint

# One stamp for the whole environment: made again when the pins or the package's metadata change.
$(VENV)/installed: requirements.lock pyproject.toml
	$(call quoted,PYTHON) -c "import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	f'convexbn needs Python 3.11 or newer, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12')"
	$(call quoted,PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

# The peers, on top of it. Their pins are complete; one of them, adelie, asks for an older NumPy than it needs.
$(VENV)/benchmark: $(VENV)/installed requirements-benchmark.lock
	$(INSTALL) --no-deps -r requirements-benchmark.lock
	@touch $@

# What sends jobs to Slurm, on top of it.
$(VENV)/slurm: $(VENV)/installed requirements-slurm.lock
	$(INSTALL) --no-deps -r requirements-slurm.lock
	@touch $@

# Needs uv (pip install uv). The second and the third file hold what only the peers, and only Slurm, need.
COMPILE := uv pip compile --universal --fork-strategy fewest --python-version 3.11 \
	--no-annotate --no-header --quiet pyproject.toml
lock:
	$(COMPILE) --extra workflow --extra test -o requirements.lock
	for extra in benchmark slurm; do (echo "-r requirements.lock"; \
	$(COMPILE) --extra workflow --extra test --extra $$extra -c requirements.lock | \
	grep -vxFf requirements.lock) > requirements-$$extra.lock; done

clean:
	rm -rf $(VENV) .snakemake
	find results -mindepth 1 -maxdepth 1 ! -name record ! -name '.*' -exec rm -rf {} +
