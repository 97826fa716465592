"""Train BN-ReLU networks to a certified global optimum.

Implements the convex programs of Ergen, Sahiner, Ozturkler, Pauly, Mardani and Pilanci,
"Demystifying Batch Normalization in ReLU Networks: Equivalent Convex Optimization Models and
Implicit Regularization", ICLR 2022.

The public names are imported when they are first used, so that a script which only draws a
figure does not wait for torch.
"""

from importlib import import_module

_HOME = {
    "Certificate": "programs.certificates",
    "ClosedForm": "networks.closed_form",
    "Solution": "programs.solutions",
    "Whitening": "whitening",
    "activation": "arrangements.gates",
    "arrangement_gates": "arrangements.enumeration",
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


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])
