"""What surrounds the workflow: other packages of the name, a folder in braces."""

import shutil

from workflow_runs import ROOT, snakemake

CONFIG = ROOT / "config" / "test.yaml"


def test_another_package_of_the_name_is_not_imported(tmp_path, monkeypatch):
    """Neither by Snakemake nor by its jobs, although PYTHONPATH names it."""
    other = tmp_path / "other" / "convexbn"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('another package')")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    target = "results/test/images/digits.safetensors"
    snakemake(target, "--configfile", CONFIG, directory=tmp_path)
    assert (tmp_path / target).exists()


def test_a_project_in_braces_is_refused_at_once(tmp_path):
    """Snakemake would look for a wildcard of that name, in each job."""
    project = tmp_path / "a{b}"
    for name in ("workflow", "config"):
        shutil.copytree(ROOT / name, project / name)
    shutil.copy(ROOT / "Snakefile", project)
    arguments = ["--dry-run", "--configfile", CONFIG]
    output = snakemake(*arguments, directory=tmp_path, root=project, check=False)
    assert "move it to a folder without braces" in output
