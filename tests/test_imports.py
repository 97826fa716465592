"""The modules that a file imports, directly or not, on a scratch chain of imports."""

import os
import shutil

import pytest

from convexbn.imports import closure, digest

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


@pytest.mark.parametrize(
    "text",
    [
        '"""To import."""\nfrom scratch import unused\n"""Nothing else to import\nhere."""\n',
        "try:\n    from scratch import unused\nexcept ImportError:\n    pass\n",
        "from scratch import (  # two (2)\n    types,\n    unused,\n)\nx = 1\n",
        "from scratch import types, \\\n    unused\nx = 1\n",
        "def f():\n    import scratch.unused\n    return (1,\n2)\n",
    ],
)
def test_an_import_is_found_wherever_the_word_stands(text, scratch):
    """What comes after the last one is not read, if the rest can be understood without it."""
    assert [name for name in scratch(text) if name != "types"] == ["__init__", "unused"]


def test_a_name_of_a_package_rests_on_its_init(scratch):
    modules = ["__init__", "figures/__init__", "figures/rank", "unused"]
    assert scratch("from scratch.figures import FIGURES") == modules
    assert scratch("import scratch.unused", "other.py") == ["__init__", "unused"]


BLOCKS = {
    **{"else": "if a:\n pass\nelse:\n {}", "with": "with a:\n {}", "loop": "for a in b:\n {}"},
    **{"try": "try:\n {}\nfinally:\n a", "except": "try:\n a\nexcept b:\n {}"},
    **{"finally": "try:\n a\nfinally:\n {}", "case": "match a:\n case 1:\n  {}"},
    **{"method": "class A:\n def a(self):\n  {}", "after": "while a:\n pass\nelse:\n {}"},
    **{"not for types": "if TYPE_CHECKING:\n pass\nelif a:\n {}"},
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_an_import_in_any_block_counts(block, scratch):
    assert scratch(block.format("import scratch.unused")) == ["__init__", "unused"]


@pytest.mark.parametrize("text", ["from scratch import solve", "from scratch.gone import solve"])
def test_an_import_that_cannot_be_followed_is_refused(text, scratch):
    with pytest.raises(ValueError, match=r"expected scratch.* from the module that defines it"):
        scratch(text)


@pytest.fixture
def project(scratch, tmp_path):
    """A folder with the package `scratch` and a script; a function returns the script's digest."""
    scratch(SCRIPT)

    def found(folder=tmp_path):
        return digest(folder / "script.py", package=folder / "scratch")

    return found


def test_a_digest_is_of_what_is_in_the_files_alone(project, tmp_path):
    """Not of where they are, when they were written, or how git has them end their lines."""
    before, copy = project(), tmp_path / "elsewhere" / "copy"
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(tmp_path / "scratch", copy / "scratch", copy_function=shutil.copyfile)
    (copy / "script.py").write_bytes((tmp_path / "script.py").read_bytes().replace(b"\n", b"\r\n"))
    os.utime(copy / "scratch" / "solver.py", (1, 1))
    assert project(copy) == before


@pytest.mark.parametrize(
    "name", ["script", "scratch/__init__", "scratch/loss", "scratch/terms/table"]
)
def test_a_digest_changes_with_the_script_and_each_module_it_rests_on(name, project, tmp_path):
    before, path = project(), tmp_path / f"{name}.py"
    path.write_text(path.read_text() + "more = 1\n")
    assert project() != before


@pytest.mark.parametrize("name", ["unused", "types", "figures/rank"])
def test_a_digest_does_not_change_with_other_modules(name, project, tmp_path):
    before = project()
    (tmp_path / "scratch" / f"{name}.py").write_text("edited = True\n")
    assert project() == before


def test_a_digest_tells_which_file_has_which_code(project, tmp_path):
    before = project()
    first, second = (tmp_path / "scratch" / f"{name}.py" for name in ("solver", "loss"))
    first_text, second_text = first.read_text(), second.read_text()
    first.write_text(second_text)
    second.write_text(first_text)
    assert project() != before
