"""Snakemake that looks at its jobs every second: the plugin looks ever more seldom while they run.

Used as `python polling.py ...` instead of `python -m snakemake ...`.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(
        lambda self: 1, lambda self, seconds: None
    )
    sys.exit(main())
