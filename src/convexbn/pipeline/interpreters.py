"""The Python interpreter that runs the scripts."""

import os
import shlex


def find_first(folder: str) -> None:
    """Let the Pythons that are started from here look for packages in a folder first."""
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    rest = [other for other in others if other not in ("", folder)]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *rest])


class Quoted(str):
    """A path that is quoted where it is formatted, as in a command line for the shell.

    Snakemake formats `sys.executable` into commands without quotes, which fail where the path of
    the environment has a space in it.
    """

    def __format__(self, spec: str) -> str:
        return format(shlex.quote(str(self)), spec)
