"""C1: the gradients of convex layers against central differences, and against closed forms.

For a layer x(p), a random weight v of its solution and directions d of its parameters p,

    (v^T x(p + h d) - v^T x(p - h d)) / 2h  =  <grad v^T x(p), d> + O(h^2) + O(tolerance / h)

With a tolerance of 1e-9 both errors are small near h = 1e-4; other steps are recorded to show it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from convexbn.experiments.convex_layers.engine import Layer, make_layer
from convexbn.experiments.convex_layers.programs import PROGRAMS, Instance

COLUMNS = [
    *("layer", "seed", "step", "judged", "relative_error", "closed_form_error"),
    *("residual", "directions", "tolerance"),
]


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Differentiate each layer of :mod:`convexbn.experiments.convex_layers.programs`.

    Parameters
    ----------
    settings : dict
        `tolerance` of every solve; numbers of `seeds` and of `directions` per seed; the `step` of
        the central differences, and other `steps` that show why it was chosen.
    seed : int
        The first seed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per layer, seed and step; `judged` marks `step`. The relative
        error is that of the vector of all directional derivatives; `closed_form_error`, NaN where
        no closed form is known, that of the gradient with respect to all parameters.
    """
    rows = [
        row
        for name in PROGRAMS
        for repetition in range(settings["seeds"])
        for row in _of_layer(name, settings, seed + repetition)
    ]
    return pd.DataFrame(rows)[COLUMNS]


def _of_layer(name: str, settings: dict, seed: int) -> list[dict]:
    instance = PROGRAMS[name](np.random.default_rng(seed))
    layer = make_layer(
        instance.problem, instance.parameters, instance.variables, tol=settings["tolerance"]
    )
    generator = torch.Generator().manual_seed(seed)
    weights = [_normal(v.shape, generator) for v in instance.variables]
    directions = _directions(instance.values, settings["directions"], generator)
    gradient = _gradient(layer, instance.values, weights)
    residual = layer.residual
    slopes = _slopes(gradient, directions)
    common = {
        **{"layer": name, "seed": seed, "directions": len(slopes)},
        **{"tolerance": settings["tolerance"]},
        "closed_form_error": _closed_form_error(instance, weights, gradient),
    }
    rows = []
    for step in {settings["step"], *settings["steps"]}:
        differences = _differences(layer, instance.values, weights, directions, step)
        error = (slopes - differences).norm() / differences.norm()
        found = {"step": step, "judged": step == settings["step"], "relative_error": error.item()}
        rows.append({**common, **found, "residual": max(residual, layer.residual)})
    return sorted(rows, key=lambda row: row["step"])


def _normal(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float64)


def _directions(
    values: Sequence[torch.Tensor], count: int, generator: torch.Generator
) -> list[torch.Tensor]:
    """Return `count` directions of unit length in all parameters together, (count, *shape) each."""
    drawn = [_normal((count, *value.shape), generator) for value in values]
    length = torch.cat([d.reshape(count, -1) for d in drawn], 1).norm(dim=1)
    return [d / length.reshape(-1, *[1] * (d.dim() - 1)) for d in drawn]


def _weighted(solution: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return v^T x for each solution x of a batch, or for one."""
    total = torch.zeros(())
    for x, w in zip(solution, weights, strict=True):
        total = total + ((w * x).flatten(x.dim() - w.dim()).sum(-1) if w.dim() else w * x)
    return total


def _gradient(
    layer: Layer, values: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    leaves = [value.clone().requires_grad_() for value in values]
    return list(torch.autograd.grad(_weighted(layer(*leaves), weights), leaves))


def _slopes(gradient: Sequence[torch.Tensor], directions: Sequence[torch.Tensor]) -> torch.Tensor:
    pairs = zip(directions, gradient, strict=True)
    return torch.stack([(d * g).reshape(len(d), -1).sum(1) for d, g in pairs]).sum(0)


def _differences(
    layer: Layer,
    values: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    directions: Sequence[torch.Tensor],
    step: float,
) -> torch.Tensor:
    """Return the central differences along all directions, solved as one batch."""
    pairs = list(zip(values, directions, strict=True))
    batch = [torch.cat([v + step * d, v - step * d]) for v, d in pairs]
    with torch.no_grad():
        above, below = _weighted(layer(*batch), weights).chunk(2)
    return (above - below) / (2 * step)


def _closed_form_error(
    instance: Instance, weights: Sequence[torch.Tensor], gradient: Sequence[torch.Tensor]
) -> float:
    if instance.closed_form is None:
        return np.nan
    leaves = [value.clone().requires_grad_() for value in instance.values]
    exact = torch.autograd.grad(_weighted(instance.closed_form(*leaves), weights), leaves)
    found, known = (torch.cat([g.flatten() for g in part]) for part in (gradient, exact))
    error = ((found - known).norm() / known.norm()).item()
    return error if np.isfinite(error) else np.inf
