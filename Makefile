# Everything in two commands: `make reproduce` and `make test`. Needs Python 3.11+ and make.
# `make` alone says what there is: of each target the first sentence above it.
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
ARGUMENTS = $(if $(IS_LOCAL),--cores $(CORES)) --configfile $(call quoted,CONFIG) \
	--workflow-profile workflow/profiles/$(PROFILE) \
	$(if $(and $(IS_LOCAL),$(MEMORY)),--resources gpu=1 mem_mb=$(MEMORY))
SNAKEMAKE = $(RUN) snakemake $(ARGUMENTS)
# Ctrl-C reaches make, Snakemake, its jobs and this shell, which has the last word: with another exit
# status make would say a line more. make itself ends by the signal.
export GOES_ON := Interrupted. What is finished is kept: run the same command again and it continues; \
	`make status` says what is missing.
RESUMABLE = trap 'echo "$$GOES_ON"; exit 0' INT; $(SNAKEMAKE)
ENVIRONMENT := $(VENV)/$(if $(IS_LOCAL),installed,slurm)

# This project's package, also after the project was moved, and not what is set for other projects.
export PYTHONPATH := $(CURDIR)/src
unexport PYTHONHOME SNAKEMAKE_PROFILE

.PHONY: help reproduce status report figures benchmark gpu unlock record verify crate test test-fast test-slurm lint lock clean

# This list.
help:
	@awk '/^$$/ {said = ""} /^# / {said = said substr($$0, 2)} \
	/^[a-z][a-z-]*:/ && said {sub(/[.:] .*|\.$$/, "", said); printf "make %-11s%s\n", $$1, said; said = ""}' \
	Makefile | sed 's/:/ /'
	@echo "CONFIG=config/cifar-small.yaml takes another config, CORES=8 more cores, MEMORY=12000 (MB) bounds"
	@echo "the jobs that run at once, PROFILE=slurm sends them to a cluster, PYTHON=python3.12 makes .venv."

# Every figure and table of CONFIG: only what is missing or rests on what has changed.
reproduce: $(ENVIRONMENT)
	$(RESUMABLE)
	@echo Figures and tables of $(call quoted,CONFIG) are up to date.

# What of CONFIG is done, running, stopped and missing; also while it runs.
status: $(ENVIRONMENT)
	@$(RUN) convexbn.pipeline.status $(ARGUMENTS)

# One page of what has been made, report/index.html in the folder of results. Nothing else is made. Snakemake's own
# report, also of the jobs: .venv/bin/snakemake --configfile config/config.yaml --report report.html
report: $(ENVIRONMENT)
	$(SNAKEMAKE) page --forcerun page --allowed-rules page
	@echo Wrote report/index.html in the results of $(call quoted,CONFIG).

# Every figure of CONFIG again, from the small tables that are kept. They are figures/**/*.csv, and those in the
# folders of the other experiments. Nothing that was expensive needs to be there.
PLOTS = $(shell $(SNAKEMAKE) --list-rules 2>/dev/null | grep '^plot_')
figures: $(ENVIRONMENT)
	$(SNAKEMAKE) figures --forceall --allowed-rules figures $(PLOTS)

# This library against its peers, in some 40 minutes on two cores. Leave the machine alone meanwhile.
benchmark: CONFIG := config/benchmark.yaml
benchmark: $(VENV)/benchmark $(ENVIRONMENT)
	$(RESUMABLE)
	@echo "Tables in results/comparison/benchmark, figures in results/comparison/figures/benchmark."

# What a GPU is worth, in less than eight minutes. Its tests, solves, a sweep of networks. Without .venv by PYTHON,
# which needs what docs/gpu.md says alone; without a GPU small, on the CPU.
gpu:
	$(if $(wildcard $(VENV)/installed),$(VENV)/bin/python,$(call quoted,PYTHON)) \
	-m convexbn.experiments.benchmark.gpu results/gpu

# What is needed after a power cut or kill -9, before a run can go on. Snakemake's lock outlives them.
unlock: $(ENVIRONMENT)
	$(SNAKEMAKE) --unlock

# The small tables of the finished run of CONFIG to results/record, for git.
record: $(ENVIRONMENT)
	$(RUN) convexbn.reporting.record record $(call quoted,CONFIG)

# A run of one's own against the recorded one. Fails where a verdict changed, see results/record/README.md.
verify: $(ENVIRONMENT)
	$(RUN) convexbn.reporting.record verify $(call quoted,CONFIG)

# The figures, tables and claims of CONFIG as an RO-Crate, with its config and software: crate.zip in its results.
crate: $(ENVIRONMENT)
	$(SNAKEMAKE) crate
	@echo Wrote crate.zip in the results of $(call quoted,CONFIG).

# The tests. A worker per core takes whole files, so that what a file sets up is made once.
test: $(VENV)/installed
	$(RUN) pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

# The fast tests, of the library, its pipeline and its tables. Without those that start Snakemake, train in
# experiments or are marked slow: for while one works; `make test` is what must pass.
test-fast: $(VENV)/installed
	$(RUN) pytest -n $(CORES) --dist loadfile -m "not slow" --ignore tests/workflow --ignore tests/experiments

# Jobs and faults on a Slurm cluster of its own, in minutes. Without Slurm this names what to install, and fails. The
# tests mostly wait: four at once, on a cluster each.
test-slurm: $(VENV)/slurm
	$(RUN) pytest tests/slurm -n 4 --dist load

# The linters and type checks.
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

# The pins of all packages again. Needs uv (pip install uv). The second and the third file hold what only the peers, and only Slurm, need.
COMPILE := uv pip compile --universal --fork-strategy fewest --python-version 3.11 \
	--no-annotate --no-header --quiet pyproject.toml
lock:
	$(COMPILE) --extra workflow --extra test -o requirements.lock
	for extra in benchmark slurm; do (echo "-r requirements.lock"; \
	$(COMPILE) --extra workflow --extra test --extra $$extra -c requirements.lock | \
	grep -vxFf requirements.lock) > requirements-$$extra.lock; done

# Nothing is left but the sources: all results and .venv go.
clean:
	rm -rf $(VENV) .snakemake
	find results -mindepth 1 -maxdepth 1 ! -name record ! -name '.*' -exec rm -rf {} +
