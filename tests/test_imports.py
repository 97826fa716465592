"""The modules that a file imports, directly or not, on a scratch chain of imports."""

import pytest

from convexbn.imports import closure

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
