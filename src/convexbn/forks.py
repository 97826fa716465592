"""Processes that are forked after a computation on several threads.

A fork copies one thread. PyTorch's others are missing in the child, where its next parallel
operation would wait for them for ever. So a forked child computes on one thread, as the workers of
a pool should anyway; more of them need the start method "spawn".
"""

import os
import sys


def register() -> None:
    """Have processes that are forked from now on compute on one thread, where forks exist."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_compute_on_one_thread)


def _compute_on_one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
