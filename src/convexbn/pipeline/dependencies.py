"""Code inputs: the modules that the output of a script rests on, which Snakemake does not see."""

from pathlib import Path

from convexbn.imports import closure, module_of


def rests_on(script: str | Path, *names: str) -> list[str]:
    """Return the paths of the package's modules that a workflow script rests on.

    A rule that has them as input is run again when one of them changes.

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
    roots = [Path(script), *map(module_of, names)]
    return sorted({str(module) for root in roots for module in closure(root)})
