"""C5: the BN program as a layer against cvxpylayers, against differences, and what it costs.

For the weights W(U, Y, beta) of :class:`convexbn.layers.ConvexLayer` and a random v, the
derivatives of <v, W> with respect to U, Y and beta are compared

- on small problems with those of cvxpylayers, which solves and differentiates the same program
  (:func:`convexbn.experiments.convex_layers.training_programs.cvxpy_program`); autograd takes the
  derivative from the blocks D_i U on to U;
- on larger ones with central differences of programs solved again, each from zero weights, along
  gains of the columns of U, along Y and along beta. Their error is O(h^2), plus that of the weights
  over the step h, for which these are solved to a tighter tolerance.

Where a block turns active within the step, central differences are between two derivatives: such
rows are marked, and not judged. One-hot targets cannot be moved and solved again; their derivative
is compared on the small problems alone, along rows that sum to zero.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.convex_layers import costs
from convexbn.experiments.convex_layers.engine import Layer, make_layer
from convexbn.experiments.convex_layers.training_programs import (
    Terms,
    TrainingProgram,
    cvxpy_program,
    draw,
)

VECTOR = [
    Terms(loss, penalty, True)
    for loss in ("squared", "cross_entropy")
    for penalty in ("group", "nuclear")
]
SCALAR = [Terms("squared", "group", False), Terms("logistic", "group", False)]
COLUMNS = [
    *("part", "loss", "penalty", "C", "n", "seed", "variable", "relative_error", "is_at_kink"),
    *("step", "tolerance", "forward_s", "backward_s"),
]
_ACTIVE = 1e-8  # singular value of a block, relative to its largest

Gradients = dict[str, torch.Tensor]


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Compare the derivatives, and time them.

    Parameters
    ----------
    settings : dict
        `tolerance` of the layer; number of `seeds` and sizes of `small` and `large` programs
        (:func:`convexbn.experiments.convex_layers.training_programs.draw`); for the large ones
        `directions`, the relative `step` and `resolved`, the tolerance of the programs solved
        again; `costs` (:func:`convexbn.experiments.convex_layers.costs.measure`).
    seed : int
        The first seed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`. `part` is "cvxpylayers" or "differences", with one row per program, seed
        and variable (the relative error is that of the gradient, or of the vector of directional
        derivatives); or "cost", with one row per program and repetition.
    """
    small, large = (range(seed, seed + settings[size]["seeds"]) for size in ("small", "large"))
    rows = [row for terms in SCALAR + VECTOR for row in _small(terms, settings, small)]
    rows += [row for terms in VECTOR for s in large for row in _large(terms, settings, s)]
    rows += costs.measure(settings["costs"], VECTOR, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def _small(terms: Terms, settings: dict, seeds: range) -> list[dict]:
    """Compare with cvxpylayers, whose program is made once."""
    rows: list[dict] = []
    reference: Layer | None = None
    for seed in seeds:
        program = draw(settings["small"], terms, seed)
        if reference is None:
            reference = make_layer(*cvxpy_program(program.shape, len(program.U), terms))
        layer = program.layer(settings["tolerance"])
        found = gradients(program, layer)
        exact = gradients(program, _by_cvxpylayers(program, reference))
        rows += [
            _row("cvxpylayers", program, seed, settings)
            | {"variable": name, "relative_error": _error(found[name], known)}
            | {"is_at_kink": layer.at_kink}
            for name, known in exact.items()
        ]
    return rows


def _by_cvxpylayers(program: TrainingProgram, reference: Layer) -> Callable[..., torch.Tensor]:
    """Return the solution by cvxpylayers as a function of U, Y and beta."""

    def solve(U: torch.Tensor, Y: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
        blocks = (program.D[:, :, None] * U[:, None]).flatten(1)  # (n, P (r + 1))
        labels = Y if program.terms.is_smooth_in_targets else (Y + 1) / 2
        W, _ = reference(blocks, labels, beta)
        p, P, C = program.shape
        return W.reshape(P, p, C).transpose(0, 1)

    return solve


def gradients(program: TrainingProgram, solve: Callable[..., torch.Tensor]) -> Gradients:
    """Return the derivatives of <v, W> with respect to what has one, by name.

    Parameters
    ----------
    program : TrainingProgram
    solve : callable
        From U, Y and beta to the weights W (r + 1, P, C).
    """
    leaves = {name: value.clone() for name, value in program.data.items()}
    moved = [name for name in leaves if name != "Y" or program.terms.is_smooth_in_targets]
    for name in moved:
        leaves[name].requires_grad_()
    value = (program.v * solve(*leaves.values())).sum()
    found = torch.autograd.grad(value, [leaves[name] for name in moved])
    by_name = dict(zip(moved, found, strict=True))
    if program.terms.loss == "cross_entropy":
        by_name["Y"] = by_name["Y"] - by_name["Y"].mean(dim=1, keepdim=True)
    return by_name


def _large(terms: Terms, settings: dict, seed: int) -> list[dict]:
    """Compare with central differences."""
    sizes, generator = settings["large"], torch.Generator().manual_seed(seed)
    program = draw(sizes, terms, seed)
    layer = program.layer(settings["tolerance"])
    found = gradients(program, layer)
    rows = []
    for name, directions in _directions(program, sizes["directions"], generator).items():
        slopes = torch.stack([(found[name] * direction).sum() for direction in directions])
        pairs = [_beside(program, name, sizes["step"] * d, sizes["resolved"]) for d in directions]
        differences = torch.stack([(program.v * (a - b)).sum() for a, b in pairs])
        has_kink = any(bool((active(a) != active(b)).any()) for a, b in pairs)
        rows.append(
            _row("differences", program, seed, settings)
            | {"variable": name, "step": sizes["step"], "is_at_kink": layer.at_kink or has_kink}
            | {"relative_error": _error(slopes, differences / (2 * sizes["step"]))}
        )
    return rows


def _directions(
    program: TrainingProgram, count: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Return directions (count, *shape) of each variable that can be moved, of about its size."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64)

    found = {"U": program.U * normal(1, program.U.shape[1]), "beta": program.beta[None]}
    if program.terms.loss == "squared":
        found["Y"] = normal(*program.Y.shape)
    return found


def _beside(
    program: TrainingProgram, name: str, move: torch.Tensor, tol: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights on both sides of a program, solved from zero."""
    data = program.data
    above, below = ({**data, name: data[name] + sign * move} for sign in (1, -1))
    return program.layer(tol)(**above), program.layer(tol)(**below)


def active(W: torch.Tensor) -> torch.Tensor:
    """Return what is active in each block of W (r + 1, P, C), shape (P, C + 1).

    Its columns, and how many singular values.
    """
    ranks = torch.linalg.matrix_rank(W.transpose(0, 1), rtol=_ACTIVE)
    return torch.column_stack([W.abs().amax(dim=0) > 0, ranks])


def _row(part: str, program: TrainingProgram, seed: int, settings: dict) -> dict:
    names = {"part": part, "loss": program.terms.loss, "penalty": program.terms.penalty}
    sizes = {"C": program.Y.shape[1], "n": len(program.U)}
    return {**names, **sizes, "seed": seed, "tolerance": settings["tolerance"]}


def _error(found: torch.Tensor, known: torch.Tensor) -> float:
    """Return the relative error of a vector; infinite where it is not a number."""
    error = float((found - known).norm() / known.norm())
    return error if np.isfinite(error) else np.inf
