"""The house: each layer uses only those below it, and no experiment uses another."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convexbn
from convexbn.imports import PACKAGE, module_of

LAYERS = ("library", "pipeline", "reporting", "experiments")  # from the ground up
WORKFLOW_ONLY = {"pandas", "matplotlib", "seaborn", "snakemake"}  # from the pipeline upwards
WHERE_USED = {"cvxpy", "cvxpylayers", "sklearn", "torchvision"}  # in the functions that need them
MODULES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first if first in LAYERS else "library"


def room_of(path) -> str:
    """Return the experiment that a module belongs to, "" outside of experiments."""
    parts = path.relative_to(PACKAGE).parts
    return parts[1] if parts[0] == "experiments" and len(parts) > 2 else ""


def imports_of(path, anywhere=True):
    """Yield the dotted names that a module imports, anywhere in it or at its top level alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree) if anywhere else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


NAMES = [str(path.relative_to(PACKAGE).with_suffix("")) for path in MODULES]
of_modules = pytest.mark.parametrize("module", MODULES, ids=NAMES)


@of_modules
def test_no_import_goes_upwards_or_across(module):
    used = [module_of(name) for name in imports_of(module) if name.split(".")[0] == "convexbn"]
    above = [u for u in used if LAYERS.index(layer_of(u)) > LAYERS.index(layer_of(module))]
    assert not above
    assert {room_of(u) for u in used} <= {"", room_of(module)}


@of_modules
def test_heavy_packages_come_in_only_where_they_may(module):
    if layer_of(module) == "library":
        assert not {name.split(".")[0] for name in imports_of(module)} & WORKFLOW_ONLY
    allowed = {"sklearn"} if module.parent.name == "estimators" else set()
    at_once = {name.split(".")[0] for name in imports_of(module, anywhere=False)}
    assert not at_once & (WHERE_USED - allowed)


def test_editors_see_the_public_names_where_they_are_defined():
    """The imports for type checkers are the table that names are looked up in."""
    (block,) = (
        node
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    )
    shown = {alias.asname: node.module for node in block.body for alias in node.names}
    assert shown == {name: f"convexbn.{home}" for name, home in convexbn._HOME.items()}


WITHOUT_TORCH = [
    *("arrangements/gates", "data/preprocessing", "data/sources", "whitening"),
    *("pipeline/artifacts", "pipeline/logs", "reporting/pages", "reporting/selection"),
    *("experiments/theory/counting", "experiments/ridge/measure"),
    "experiments/learning_rates/matrices",
]


def test_preparing_tabulating_judging_and_drawing_do_not_wait_for_torch():
    """Nor do tables wait for seaborn, nor verdicts for scipy.stats, of which some functions do."""
    drawing = [name for name in NAMES if re.search("experiments/.*/(figures|statements)", name)]
    modules = [name.removesuffix("/__init__").replace("/", ".") for name in WITHOUT_TORCH + drawing]
    code = f"import {', '.join(f'convexbn.{name}' for name in modules)}, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "seaborn", "scipy.stats"} & set(run.stdout.split())


def test_rules_are_read_with_nothing_but_what_snakemake_needs():
    """A Python that has Snakemake alone runs the workflow, with the jobs in conda environments."""
    rules = [path.read_text() for path in (PACKAGE.parents[1] / "workflow/rules").glob("*.smk")]
    imports = re.findall(r"^from convexbn.*$", "\n".join(rules), re.M)
    assert len(imports) >= 8
    code = "\n".join([*imports, "import sys", "print(*sys.modules)"])
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "torch", "pandas", "snakemake"} & set(run.stdout.split())


def test_every_public_name_is_the_same_whatever_was_imported_before():
    """A submodule that has the name of a function would take its place when it is imported."""
    first = {name: getattr(convexbn, name) for name in convexbn.__all__}
    for module in pkgutil.walk_packages(convexbn.__path__, "convexbn."):
        importlib.import_module(module.name)
    assert {name: getattr(convexbn, name) for name in convexbn.__all__} == first
    assert all(callable(value) for value in first.values())
    below = {module.name for module in pkgutil.iter_modules(convexbn.__path__)}
    assert not below & set(convexbn.__all__)  # in any order of imports, then


def public_functions(body):
    """Yield the functions and methods, in the body of a module or class, that callers see."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.removeprefix("__init").startswith(
            "_"
        ):
            yield node


@of_modules
def test_every_public_argument_and_result_has_a_type(module):
    """So that mypy and editors have something to check."""
    for function in public_functions(ast.parse(module.read_text()).body):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        untyped = [
            a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")
        ]
        assert not untyped, function.name
        assert function.returns is not None or function.name == "__init__", function.name


# Calls that run what is in a file, with the only modules that may make them, and with what.
EXECUTING = {
    "pickle.load": set(),
    "pickle.loads": {"data/cifar"},  # files whose MD5 is the official one
    "yaml.load": {"pipeline/schemas"},  # by the safe loader in C
    "yaml.unsafe_load": set(),
    "eval": set(),
    "exec": set(),
    "os.system": set(),
}


SCRIPTS = sorted((Path(__file__).parents[1] / "workflow/scripts").glob("*.py"))


@pytest.mark.parametrize("path", [*MODULES, *SCRIPTS], ids=[*NAMES, *(p.stem for p in SCRIPTS)])
def test_nothing_that_is_read_is_run(path):
    """No pickle but CIFAR's, no tags of YAML that make objects, no archive but torchvision's."""
    name = str(path.relative_to(PACKAGE).with_suffix("")) if path in MODULES else path.stem
    nodes = ast.walk(ast.parse(path.read_text()))
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        function, options = ast.unparse(call.func), {k.arg: k.value for k in call.keywords}
        assert name in EXECUTING.get(function, {name}), function
        assert "shell" not in options
        assert not function.endswith("extractall")
        if function == "torch.load":
            assert ast.unparse(options["weights_only"]) == "True"
        if function.endswith("np.load"):
            assert "allow_pickle" not in options
