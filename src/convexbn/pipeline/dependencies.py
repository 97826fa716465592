"""What Snakemake cannot see for itself: the code that the output of a script rests on."""

from convexbn.imports import closure


def rests_on(script) -> list[str]:
    """Return the paths of the package's modules that a workflow script rests on.

    A rule that has them as input is run again when one of them changes.

    Parameters
    ----------
    script : str or Path

    Raises
    ------
    ValueError
        If an import of the script, or of a module that it rests on, cannot be followed.
    """
    return [str(module) for module in closure(script)]
