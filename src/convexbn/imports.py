"""Modules of this package that a file rests on, read from its imports.

Neither Snakemake nor a checkpoint sees what a script imports: both ask here which code a result
depends on, so that an edited module makes it out of date and no other does.
"""

import ast
import hashlib
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
# All up to the last statement with the word, and the names in brackets after it.
_HEAD = re.compile(r".*\bimport\b[^\n(]*(?:\([^()]*\))?", re.DOTALL)
_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")  # lists of statements, in statements


def closure(path: str | Path, package: Path = PACKAGE) -> list[Path]:
    """Return the modules that a file imports from a package, directly or not.

    Imports anywhere in a file count, except those under `if TYPE_CHECKING:`, which are never made.
    The `__init__` of a package counts if a name is taken from it; the outermost one always counts.

    Parameters
    ----------
    path : str or Path
        A script, or a module of the package, which is then part of the result.
    package : Path
        Folder of the package.

    Returns
    -------
    list of Path
        Sorted, without repeats.

    Raises
    ------
    ValueError
        If a name is imported from the outermost package, or from nowhere.
    """
    path, found = Path(path), set()
    waiting = [package / "__init__.py", path]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += _imported(module, package)
    return sorted(module for module in found if module.is_relative_to(package))


def digest(*paths: str | Path, package: Path = PACKAGE) -> str:
    """Return a text that changes with the code of some files, and of the modules they rest on.

    Only what is in the files counts: neither where they are, nor when they were written, nor how
    their lines end.

    Parameters
    ----------
    *paths : str or Path
        Scripts, or modules of the package.
    package : Path
        Folder of the package.

    Raises
    ------
    ValueError
        As :func:`closure`.
    """
    modules = {module for path in paths for module in closure(path, package)}
    named = {module.relative_to(package).as_posix(): module for module in modules}
    named |= {path.name: path for path in map(Path, paths) if path not in modules}
    texts = "".join(f"{name}\0{_text(named[name])}\0" for name in sorted(named))
    return hashlib.blake2b(texts.encode(), digest_size=16).hexdigest()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _imported(path: Path, package: Path) -> list[Path]:
    """Return the modules that a file names in its own imports."""
    names = []
    for node in _statements(_parsed(_text(path))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    own = [name for name in names if name.split(".")[0] == package.name]
    return [module_of(name, package) for name in own]


def _parsed(text: str) -> ast.Module:
    """Return the syntax tree of a file up to its last import, or to its end.

    Most of a file comes after it, and every Snakemake process reads all files.
    """
    head = _HEAD.match(text)
    try:
        return ast.parse(head.group() if head else "")
    except SyntaxError:  # the word is in a text, or its block goes on
        return ast.parse(text)


def _statements(tree):
    """Yield the statements in a syntax tree that are run; no import is in anything else."""
    is_for_types = isinstance(tree, ast.If) and getattr(tree.test, "id", "") == "TYPE_CHECKING"
    for block in ("orelse",) if is_for_types else _BLOCKS:
        for node in getattr(tree, block, ()):
            yield node
            yield from _statements(node)


def module_of(name: str, package: Path = PACKAGE) -> Path:
    """Return the file of the module that a dotted name is, or that it is taken from.

    Raises
    ------
    ValueError
        If there is none, or a name is taken from the outermost package.
    """
    path = package.joinpath(*name.split(".")[1:])
    modules = path.with_suffix(".py"), path / "__init__.py"
    homes = path.parent.with_suffix(".py"), path.parent / "__init__.py"
    found = next((file for file in (*modules, *homes) if file.exists()), None)
    if found is None or (found == package / "__init__.py" and found not in modules):
        raise ValueError(
            f"expected {name} to be imported from the module that defines it, as {package.name} "
            "itself looks its names up when they are used; name that module"
        )
    return found
