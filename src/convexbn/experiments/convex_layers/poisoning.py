"""C2: poisoned training data (Agrawal et al. 2019, Section 6.1).

A logistic regression with elastic net is fitted to training points in the plane, and judged by its
mean loss on test points. An adversary who may move each coordinate of a training point by a radius
of 0.01 gains most, to first order, by x + 0.01 sign(gradient of the test loss), which raises the
loss by 0.01 times the sum of the gradient's absolute values. The fit is a layer, so that this
gradient is one backward pass; fitting again to the moved points gives the rise that is realised.
"""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from convexbn.experiments.convex_layers.engine import make_layer
from convexbn.experiments.convex_layers.programs import logistic_regression

COLUMNS = [
    *("seed", "point", "label", "x1", "x2", "gradient1", "gradient2"),
    *("a1", "a2", "b", "test_a1", "test_a2", "test_b"),
    *("loss", "predicted", "realised", "radius"),
]
CENTRE, SPREAD = 2.0, 3.0  # of the two classes, at (2, 2) and (-2, -2)


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Poison the training data of several draws.

    Parameters
    ----------
    settings : dict
        `tolerance` of every solve, number of `points` (training points, and as many test points),
        `radius` of the moves, number of `seeds`.
    seed : int
        The first seed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per seed and training point: the point, its label and the
        gradient of the test loss; and, the same in all rows of a seed, the line a^T x + b = 0 that
        is fitted to the training points and that of the test points, the test loss, and its
        predicted and realised rise.
    """
    return pd.concat(
        [_draw(settings, seed + i) for i in range(settings["seeds"])], ignore_index=True
    )


def _draw(settings: dict, seed: int) -> pd.DataFrame:
    rng, labels = np.random.default_rng(seed), np.arange(settings["points"]) % 2
    (X, X_test), y = (_points(labels, rng) for _ in range(2)), torch.as_tensor(labels).double()
    problem, parameter, variables = logistic_regression(labels)
    fit = make_layer(problem, [parameter], variables, tol=settings["tolerance"])
    X.requires_grad_()
    line = fit(X)
    loss = _loss(line, X_test, y)
    (gradient,) = torch.autograd.grad(loss, X)  # (n, 2)
    with torch.no_grad():
        moved = fit(X + settings["radius"] * gradient.sign())
        of_test = fit(X_test)
        realised = _loss(moved, X_test, y) - loss
    columns = np.column_stack([labels, X.detach(), gradient])
    table = pd.DataFrame(columns, columns=COLUMNS[2:7]).astype({"label": int})
    return table.assign(
        **{"seed": seed, "point": table.index},
        **dict(zip(COLUMNS[7:13], [*_flat(line), *_flat(of_test)], strict=True)),
        **{"loss": loss.item(), "realised": realised.item()},
        **{"radius": settings["radius"]},
        predicted=settings["radius"] * gradient.abs().sum().item(),
    )[COLUMNS]


def _points(labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    centres = CENTRE * (2 * labels[:, None] - 1)
    return torch.as_tensor(centres + SPREAD * rng.normal(size=(len(labels), 2)))


def _loss(line: tuple[torch.Tensor, ...], X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    a, b = line
    return binary_cross_entropy_with_logits(X @ a + b, y)


def _flat(line: tuple[torch.Tensor, ...]) -> list[float]:
    return torch.cat([part.detach().flatten() for part in line]).tolist()
