"""Plain accelerated proximal gradient for the gated program, as a contestant.

    W <- prox(Z + A^T (Y - A Z) / L),    Z <- W + momentum (W - W_before),    L the norm of A A^T

(FISTA, Beck and Teboulle 2009), with the momentum restarted where it points uphill (O'Donoghue and
Candes 2015), in float32 and on the passes over the design of this library: what its solver is worth
beyond them.
"""

import math
from collections.abc import Callable

import torch

from convexbn.experiments.benchmark.clocks import Recorder
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.programs.design import adjoint, forward
from convexbn.programs.penalties import PENALTIES

_POWER_ITERATIONS = 30
_ROOM = 1.02  # above the norm that power iterations find, which is a lower bound


def fista(problem: RaceProblem, _: float) -> Callable[[Recorder], None]:
    """Return the function that solves the gated program and shows its points.

    Raises
    ------
    ValueError
        For the exact program, whose cones have no cheap projection.
    """
    if problem.model != "gated":
        raise ValueError(f"fista is for model 'gated', got {problem.model!r}; leave it out there")
    U, Y = (torch.as_tensor(a, dtype=torch.float32) for a in (problem.U, problem.Y))
    D = torch.as_tensor(problem.D)

    def run(recorder: Recorder) -> None:
        step = 1 / (_ROOM * _largest(U, D))
        W = Z = torch.zeros(U.shape[1], D.shape[1], Y.shape[1])
        FW = FZ = torch.zeros_like(Y)
        age = 1.0
        while True:
            shifted = Z + step * adjoint(U, D, Y - FZ)
            new = PENALTIES["group"].prox(shifted, step * problem.beta)
            F = forward(U, D, new)
            age = 1.0 if float(((Z - new) * (new - W)).sum()) > 0 else age
            older, age = age, (1 + math.sqrt(1 + 4 * age**2)) / 2
            momentum = (older - 1) / age
            Z, FZ = new + momentum * (new - W), F + momentum * (F - FW)
            W, FW = new, F
            recorder.show(W.numpy)

    return run


def _largest(U: torch.Tensor, D: torch.Tensor) -> float:
    """Return the largest eigenvalue of `A A^T`, nearly, by power iterations."""
    x = torch.randn(len(U), 1, generator=torch.Generator("cpu").manual_seed(0))
    size = 1.0
    for _ in range(_POWER_ITERATIONS):
        x = forward(U, D, adjoint(U, D, x / float(torch.linalg.vector_norm(x))))
        size = float(torch.linalg.vector_norm(x))
    return size
