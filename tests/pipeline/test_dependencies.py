"""The code that a script rests on, and the package it is taken from."""

import shutil
import subprocess
import sys

import pytest

from convexbn.imports import PACKAGE, closure, digest
from convexbn.pipeline.dependencies import check_package, code_of


def test_a_module_of_the_package_rests_on_itself():
    module = PACKAGE / "imports.py"
    assert closure(module) == [PACKAGE / "__init__.py", module]
    assert code_of(module) == digest(module)
    assert code_of(module) != code_of(PACKAGE / "files.py")


def test_functions_by_name_count_like_imports():
    function = "convexbn.experiments.theory.data.regression"
    data = PACKAGE / "experiments" / "theory" / "data.py"
    script = PACKAGE / "files.py"
    assert code_of(script, function) == digest(script, data)
    assert code_of(script, function) != code_of(script)
    with pytest.raises(ValueError, match="name that module"):
        code_of(script, "convexbn.gone")


def test_the_closure_holds_all_that_is_really_imported():
    """But for the `__init__` of packages, whose imports do not change what a module computes."""
    engine = PACKAGE / "training" / "engine.py"
    code = (
        "import sys; before = set(sys.modules); import convexbn.training.engine; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('convexbn')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {path for path in run.stdout.split() if not path.endswith("__init__.py")}
    assert imported <= set(map(str, closure(engine)))


@pytest.fixture
def project(tmp_path):
    """A project with a package of its own, a copy of which is installed elsewhere."""
    for package in (tmp_path / "src" / "convexbn", tmp_path / "elsewhere" / "convexbn"):
        (package / "solvers").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "solvers" / "gated.py").write_text("tolerance = 1e-6\n")
    return tmp_path


def test_a_copy_of_the_project_s_package_is_as_good(project):
    check_package(project, project / "elsewhere" / "convexbn")
    check_package(project, project / "src" / "convexbn")
    shutil.rmtree(project / "src")
    check_package(project, project / "elsewhere" / "convexbn")  # the workflow without its package


@pytest.mark.parametrize("name", ["solvers/gated.py", "solvers/new.py"])
def test_another_package_of_the_name_is_refused(name, project):
    """PYTHONPATH names another version, or an installed copy is older than the project."""
    other = project / "elsewhere" / "convexbn"
    (other / name).write_text("tolerance = 1e-2\n")
    with pytest.raises(ValueError, match=r"imports convexbn from .*elsewhere.*unset PYTHONPATH"):
        check_package(project, other)
