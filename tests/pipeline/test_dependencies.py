"""The modules that a file rests on, on a scratch chain of imports and on the package itself."""

import subprocess
import sys

import pytest

from convexbn.imports import PACKAGE, closure
from convexbn.pipeline.dependencies import rests_on

MODULES = {
    "__init__": "",
    "solver": "import numpy\nfrom scratch.loss import squared\n",
    "loss": "def squared():\n    from scratch.terms import half\n",
    "terms/__init__": "half = 0.5\nfrom scratch.terms import table\n",
    "terms/table": "from scratch import solver\n",  # around in a circle
    "figures/__init__": "from scratch.figures import rank\n",
    "figures/rank": "import scratch.unused\n",
    "figures/style": "",
    "types": "",
    "unused": "",
}
SCRIPT = """
from typing import TYPE_CHECKING

from scratch.solver import solve
from scratch.figures import style

if TYPE_CHECKING:
    from scratch.types import Array
"""


@pytest.fixture
def scratch(tmp_path):
    """A function that writes a script, and returns the names of the modules it rests on."""
    package = tmp_path / "scratch"
    for name, text in MODULES.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def found(text, name="script.py"):
        (tmp_path / name).write_text(text)
        paths = closure(tmp_path / name, package)
        return [str(path.relative_to(package).with_suffix("")) for path in paths]

    return found


def test_a_script_rests_on_what_it_imports_directly_or_not(scratch):
    """In functions too, but neither for types nor by the `__init__` of a module's package."""
    chain = ["__init__", "figures/style", "loss", "solver", "terms/__init__", "terms/table"]
    assert scratch(SCRIPT) == chain


def test_a_name_of_a_package_rests_on_its_init(scratch):
    modules = ["__init__", "figures/__init__", "figures/rank", "unused"]
    assert scratch("from scratch.figures import FIGURES") == modules
    assert scratch("import scratch.unused", "other.py") == ["__init__", "unused"]


@pytest.mark.parametrize("text", ["from scratch import solve", "from scratch.gone import solve"])
def test_an_import_that_cannot_be_followed_is_refused(text, scratch):
    with pytest.raises(ValueError, match=r"expected scratch.* from the module that defines it"):
        scratch(text)


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
