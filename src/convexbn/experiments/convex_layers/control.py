"""C3: approximate dynamic programming by a policy that is a convex program (Agrawal et al. 2019).

Controls u = phi(x) of a linear system, x_next = A x + B u + noise, keep the mean of
||x||^2 + ||u||^2 over T steps small. The policy minimizes a quadratic under a constraint,

    phi(x) = argmin  ||L u||^2 / 2 + (K^T x + q)^T u   s.t.  ||u|| <= 1,

and L, K, q are learned by SGD through the rollout. They start from the linear-quadratic regulator,
which is optimal without the constraint: there L^T L = I + B^T S B and K = A^T S B, S the solution
of the Riccati equation.

The product K^T x of two parameters is not DPP, so C = K^T x + q is one parameter; the programs of
all rollouts are independent, and solved in one call as one program. The same policy in closed form
(a trust-region step) evaluates it on noise that training never sees.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.linalg import cholesky, solve_discrete_are

from convexbn.experiments.convex_layers.engine import Layer, make_layer

STATES, CONTROLS, NOISE = 2, 3, 0.2
HELD_OUT = 256  # rollouts that judge a policy
SETTINGS = ["horizon", "batch", "learning_rate", "momentum"]
COLUMNS = [
    *("seed", "iteration", "cost", "training_cost", "control_error", "uncontrolled_cost"),
    *SETTINGS,
]


class System(NamedTuple):
    """A linear system: A (2, 2) and B (2, 3)."""

    A: np.ndarray
    B: np.ndarray


class Policy(NamedTuple):
    """Parameters of the policy: L (3, 3), K (2, 3), q (3,)."""

    L: torch.Tensor
    K: torch.Tensor
    q: torch.Tensor


def measure(settings: dict, seed: int) -> pd.DataFrame:
    """Learn a policy for several systems.

    Parameters
    ----------
    settings : dict
        `tolerance` of every solve; `horizon` T, `batch` of rollouts, `iterations`, `learning_rate`
        and `momentum` of SGD, number of `seeds` (a system, its noise and held-out noise each).
    seed : int
        The first seed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per seed and iteration; `iterations` is the learned policy. The
        cost is that on held-out noise, the same at all iterations; `training_cost` that of the
        batch; `control_error` the largest difference of a control of the batch from the closed
        form; `uncontrolled_cost` that of u = 0 on the held-out noise.
    """
    return pd.concat(
        [_learn(settings, seed + i) for i in range(settings["seeds"])], ignore_index=True
    )


def _learn(settings: dict, seed: int) -> pd.DataFrame:
    rng, T, batch = np.random.default_rng(seed), settings["horizon"], settings["batch"]
    system = draw_system(rng)
    held_out = NOISE * rng.normal(size=(T, STATES, HELD_OUT))
    policy, layer = regulator(system), make_policy(batch, settings["tolerance"])
    optimizer = torch.optim.SGD(policy, lr=settings["learning_rate"], momentum=settings["momentum"])
    rows = []
    for iteration in range(settings["iterations"] + 1):
        row = {"iteration": iteration, "cost": closed_form_cost(system, policy, held_out)}
        if iteration < settings["iterations"]:
            noise = torch.as_tensor(NOISE * rng.normal(size=(T, STATES, batch)))
            optimizer.zero_grad()
            cost, error = rollout(system, policy, layer, noise)
            cost.backward()
            optimizer.step()
            row |= {"training_cost": cost.item(), "control_error": error}
        rows.append(row)
    still = Policy(*(torch.zeros_like(part) for part in policy))
    common = {"seed": seed} | {key: settings[key] for key in SETTINGS}
    uncontrolled = closed_form_cost(system, still._replace(L=policy.L), held_out)
    return pd.DataFrame(rows).assign(**common, uncontrolled_cost=uncontrolled)[COLUMNS]


def draw_system(rng: np.random.Generator) -> System:
    """Return a system next to the identity whose controls have little effect, as in the paper's."""
    A = np.eye(STATES) + 0.01 * rng.normal(size=(STATES, STATES))
    return System(A, 0.01 / 3 * rng.normal(size=(STATES, CONTROLS)))


def regulator(system: System) -> Policy:
    """Return the policy that is optimal without the constraint."""
    A, B = system
    S = solve_discrete_are(A, B, np.eye(STATES), np.eye(CONTROLS))
    L = cholesky(np.eye(CONTROLS) + B.T @ S @ B)
    start = (L, A.T @ S @ B, np.zeros(CONTROLS))
    return Policy(*(torch.tensor(part, requires_grad=True) for part in start))


def make_policy(batch: int, tol: float) -> Layer:
    """Return the policy of `batch` states as a layer of L (3, 3) and C (3, batch)."""
    import cvxpy as cp

    L = cp.Parameter((CONTROLS, CONTROLS), name="L")
    C, u = cp.Parameter((CONTROLS, batch), name="C"), cp.Variable((CONTROLS, batch), name="u")
    objective = cp.sum_squares(L @ u) / 2 + cp.sum(cp.multiply(C, u))
    problem = cp.Problem(cp.Minimize(objective), [cp.norm(u, axis=0) <= 1])
    return make_layer(problem, [L, C], [u], tol=tol)


def rollout(
    system: System, policy: Policy, layer: Layer, noise: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return the mean cost of a batch of rollouts from 0, and the largest error of a control.

    Parameters
    ----------
    system : System
    policy : Policy
    layer : Layer
        The result of :func:`make_policy` for the batch.
    noise : Tensor (T, 2, batch)
    """
    A, B = map(torch.as_tensor, system)
    x, cost, error = torch.zeros_like(noise[0]), torch.zeros(()), 0.0
    for step in noise:
        C = policy.K.T @ x + policy.q[:, None]
        (u,) = layer(policy.L, C)
        cost = cost + _cost(x, u)
        exact = closed_form(policy.L.detach().numpy(), C.detach().numpy())
        error = max(error, float(np.abs(u.detach().numpy() - exact).max()))
        x = A @ x + B @ u + step
    return cost / noise.shape[0] / noise.shape[2], error


def closed_form_cost(system: System, policy: Policy, noise: np.ndarray) -> float:
    """Return the mean cost of rollouts (T, 2, rollouts) of the policy in closed form."""
    (A, B), (L, K, q) = system, (part.detach().numpy() for part in policy)
    x, cost = np.zeros_like(noise[0]), 0.0
    for step in noise:
        u = closed_form(L, K.T @ x + q[:, None])
        cost += _cost(x, u)
        x = A @ x + B @ u + step
    return cost / noise.shape[0] / noise.shape[2]


def _cost(x, u):
    return (x**2).sum() + (u**2).sum()


def closed_form(L: np.ndarray, C: np.ndarray) -> np.ndarray:
    """Minimize ||L u||^2 / 2 + c^T u over the unit ball, for each column c of C.

    The solution is u = -(L^T L + mu I)^-1 c, with mu = 0 if that is in the ball, and else the root
    of ||u|| = 1, which Newton's method on 1 / ||u|| approaches from one side without a safeguard.

    Parameters
    ----------
    L : array (3, 3)
        Invertible.
    C : array (3, n)

    Returns
    -------
    array (3, n)
    """
    eigenvalues, Q = np.linalg.eigh(L.T @ L)
    c, mu = Q.T @ C, np.zeros(C.shape[1])
    for _ in range(50):
        shifted = eigenvalues[:, None] + mu
        squared = ((c / shifted) ** 2).sum(axis=0)
        slope = (c**2 / shifted**3).sum(axis=0)
        slope[squared <= 1] = np.inf  # inside the ball: no move
        move = squared * (np.sqrt(squared) - 1) / slope
        mu = mu + move
        if (move <= 1e-14 * (1 + mu)).all():
            break
    return -Q @ (c / (eigenvalues[:, None] + mu))
