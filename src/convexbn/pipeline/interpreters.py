"""The Python interpreter that runs the scripts."""

import shlex


class Quoted(str):
    """A path that is quoted where it is formatted, as in a command line for the shell.

    Snakemake formats `sys.executable` into commands without quotes, which fail where the path of
    the environment has a space in it.
    """

    def __format__(self, spec: str) -> str:
        return format(shlex.quote(str(self)), spec)
