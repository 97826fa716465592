"""Train BN-ReLU networks to a certified global optimum.

Implements the convex programs of Ergen, Sahiner, Ozturkler, Pauly, Mardani and Pilanci,
"Demystifying Batch Normalization in ReLU Networks: Equivalent Convex Optimization Models and
Implicit Regularization", ICLR 2022.

The public names are imported when they are first used, so that a script which only draws a
figure does not wait for torch.

A process that is forked from one that has imported this package computes on one thread, as the
workers of a pool should anyway. A fork copies one thread: PyTorch's others would be missing, and
its next parallel operation would wait for them for ever. More threads need the start method
"spawn".
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers
    from convexbn.arrangements.enumeration import arrangement_gates as arrangement_gates
    from convexbn.arrangements.enumeration import enumerate_arrangements as enumerate_arrangements
    from convexbn.arrangements.gates import activation as activation
    from convexbn.arrangements.gates import sample_gates as sample_gates
    from convexbn.data.patches import patches as patches
    from convexbn.layers import ConvexLayer as ConvexLayer
    from convexbn.networks.closed_form import ClosedForm as ClosedForm
    from convexbn.networks.closed_form import closed_form as closed_form
    from convexbn.networks.objectives import network_objective as network_objective
    from convexbn.networks.recovery import network_blocks as network_blocks
    from convexbn.networks.recovery import recover_network as recover_network
    from convexbn.programs.certificates import Certificate as Certificate
    from convexbn.programs.certificates import certify as certify
    from convexbn.programs.instances import beta_max as beta_max
    from convexbn.programs.solutions import Solution as Solution
    from convexbn.solvers import solve as solve
    from convexbn.solvers import solve_path as solve_path
    from convexbn.solvers.columns.column_generation import train_exact as train_exact
    from convexbn.whitening import Whitening as Whitening
    from convexbn.whitening import whiten as whiten

# The module, below this package, that each public name is looked up in.
_HOME = {
    "Certificate": "programs.certificates",
    "ClosedForm": "networks.closed_form",
    "ConvexLayer": "layers",
    "Solution": "programs.solutions",
    "Whitening": "whitening",
    "activation": "arrangements.gates",
    "arrangement_gates": "arrangements.enumeration",
    "beta_max": "programs.instances",
    "certify": "programs.certificates",
    "closed_form": "networks.closed_form",
    "enumerate_arrangements": "arrangements.enumeration",
    "network_blocks": "networks.recovery",
    "network_objective": "networks.objectives",
    "patches": "data.patches",
    "recover_network": "networks.recovery",
    "sample_gates": "arrangements.gates",
    "solve": "solvers",
    "solve_path": "solvers",
    "train_exact": "solvers.columns.column_generation",
    "whiten": "whitening",
}

__all__ = list(_HOME)
__version__ = "0.1.0"


def _compute_on_one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


with suppress(AttributeError):  # Windows has no forks
    os.register_at_fork(after_in_child=_compute_on_one_thread)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
