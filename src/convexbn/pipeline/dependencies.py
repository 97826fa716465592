"""The code that the output of a script rests on, which Snakemake does not see."""

from pathlib import Path

from convexbn.imports import digest, module_of


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
