"""The modules that a file of the package rests on."""

import subprocess
import sys

import pytest

from convexbn.imports import PACKAGE
from convexbn.pipeline.dependencies import rests_on


def test_a_module_of_the_package_rests_on_itself():
    paths = rests_on(PACKAGE / "imports.py")
    assert paths == [str(PACKAGE / "__init__.py"), str(PACKAGE / "imports.py")]


def test_functions_by_name_count_like_imports():
    function = "convexbn.experiments.theory.data.regression"
    data = PACKAGE / "experiments" / "theory" / "data.py"
    script = PACKAGE / "files.py"
    assert set(rests_on(script, function)) == {*rests_on(script), *rests_on(data)}
    assert str(data) in rests_on(script, function)
    with pytest.raises(ValueError, match="name that module"):
        rests_on(script, "convexbn.gone")


def test_the_closure_holds_all_that_is_really_imported():
    """But for the `__init__` of packages, whose imports do not change what a module computes."""
    engine = PACKAGE / "training" / "engine.py"
    code = (
        "import sys; before = set(sys.modules); import convexbn.training.engine; "
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('convexbn')))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {path for path in run.stdout.split() if not path.endswith("__init__.py")}
    assert imported <= set(rests_on(engine))
