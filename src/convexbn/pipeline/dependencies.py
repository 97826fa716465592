"""The code that the output of a script rests on, which Snakemake does not see."""

from pathlib import Path

from convexbn.imports import PACKAGE, digest, module_of


def code_of(script: str | Path, *names: str) -> str:
    """Return a digest of a workflow script and of the package's modules that it rests on.

    A rule that has it as a parameter is run again when one of them changes, and not when the
    project is moved, copied or touched.

    Parameters
    ----------
    script : str or Path
    *names : str
        Dotted names of modules, or of functions in them, that the script is given by name
        (:func:`convexbn.pipeline.names.named`) and does not import.

    Raises
    ------
    ValueError
        If an import of the script, or of a module that it rests on, cannot be followed.
    """
    return digest(script, *map(module_of, names))


def check_package(project: str | Path, package: Path = PACKAGE) -> None:
    """Raise ValueError if the package that is imported is another than the project's own.

    Parameters
    ----------
    project : path
        Folder of the workflow. A copy of its package that was installed elsewhere is as good.
    package : Path
        The package that is imported.
    """
    own = Path(project) / "src" / package.name
    if own.is_dir() and not own.samefile(package) and _modules(own) != _modules(package):
        raise ValueError(
            f"Python imports {package.name} from {package}, which differs from this project's own "
            f"in {own}; unset PYTHONPATH, or install the project again (pip install --editable .)"
        )


def _modules(package: Path) -> dict[str, str]:
    paths = package.rglob("*.py")
    return {str(path.relative_to(package)): path.read_text(encoding="utf-8") for path in paths}
