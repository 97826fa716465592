"""The benchmark's DAG, on its tiny config."""

import pytest
import yaml
from workflow_runs import ROOT, jobs, snakemake

from convexbn.experiments.benchmark import tables
from convexbn.pipeline import artifacts


@pytest.mark.slow
def test_the_benchmark_runs_through_the_dag_and_resumes(tmp_path):
    config = ROOT / "config" / "benchmark-smoke.yaml"
    folder = tmp_path / "results/benchmark-smoke/benchmark"
    target = "results/benchmark-smoke/benchmark/times.csv"
    snakemake(target, "--configfile", config, directory=tmp_path)
    times = artifacts.read_table(folder / "times.csv")
    asked = yaml.safe_load(config.read_text())["benchmark"]
    assert len(times) == 2 * len(asked["accuracies"])
    assert (times["status"] == tables.SOLVED).all()
    assert len(artifacts.read_table(folder / "scaling.csv")) == 2
    (folder / "times.csv").unlink()
    left = jobs(snakemake("--dry-run", target, "--configfile", config, directory=tmp_path))
    assert left == {"benchmark_tables": 1, "total": 1}
