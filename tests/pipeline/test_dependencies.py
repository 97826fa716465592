"""The code that a script rests on."""

import subprocess
import sys

import pytest

from convexbn.imports import PACKAGE, closure, digest
from convexbn.pipeline.dependencies import code_of


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
