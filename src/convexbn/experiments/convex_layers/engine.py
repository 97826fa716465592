"""Convex programs as torch layers: cvxpylayers solves and differentiates, a referee judges.

cvxpylayers (Agrawal et al. 2019) writes a program as a cone program, whose data are affine in the
parameters:

    min  c^T x   s.t.  A x + s = b,  s in K            (y: its dual variables, in the dual cone K*)

diffcp solves it by SCS and differentiates the solution through the equations that x, y and s solve.
Behind diffcp, SCS reaches a tighter solution than Clarabel, whose status nobody checks there. So
each solution is judged here again, from x and y alone.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy.sparse as sp
import torch

from convexbn.experiments.convex_layers.referee import residual
from convexbn.inputs import check_tolerance

if TYPE_CHECKING:
    import cvxpy as cp

MARGIN = 10  # the solver stops at its tolerance, measured in its own way: ask it for more
MOST_ITERATIONS = 100_000
SCALE = 2.0**30  # of gradients inside: to diffcp, one with no entry above 1e-8 is zero
# Small programs: factorizing the dense matrix of the derivative is exact, and as fast as LSQR.
FORWARD = {"solve_method": "SCS", "n_jobs_forward": 1, "max_iters": MOST_ITERATIONS}
BACKWARD = {"mode": "dense", "n_jobs_backward": 1}


class Layer(torch.nn.Module):
    """A convex program as a torch layer; every solution is checked. Made by :func:`make_layer`.

    Attributes
    ----------
    residual : float
        The largest relative residual of the last solve: of the constraints, of the dual ones, or of
        the gap between the objectives.
    """

    def __init__(
        self,
        problem: "cp.Problem",
        parameters: "Sequence[cp.Parameter]",
        variables: "Sequence[cp.Variable]",
        tol: float,
    ) -> None:
        from cvxpy.reductions.solvers.conic_solvers.scs_conif import dims_to_solver_dict
        from cvxpylayers.torch import CvxpyLayer
        from cvxpylayers.utils.parse_args import VariableRecovery
        from diffcp.cones import parse_cone_dict

        super().__init__()
        self.parameters_of_program, self.tol, self.residual = list(parameters), tol, np.nan
        self.engine = CvxpyLayer(
            problem, list(parameters), list(variables), solver_args={**FORWARD, "eps": tol / MARGIN}
        )
        self._structure = cast(Any, self.engine.ctx.solver_ctx)  # of the cone program's data
        self._cones = parse_cone_dict(dims_to_solver_dict(self.engine.ctx.cone_dims))
        rows, columns = self._structure.A_shape
        self.engine.ctx.var_recover += [
            VariableRecovery(slice(columns - 1), None, (columns - 1,)),
            VariableRecovery(None, slice(rows), (rows,), source="dual"),
        ]

    def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Solve the program, or a batch of it.

        At a kink of the solution the gradient is one of those next to it, or between them.

        Parameters
        ----------
        *values : Tensor, float64
            One for each parameter, in order, in its shape; with a batch, (B, *shape).

        Returns
        -------
        tuple of Tensor
            One for each variable, in its shape, or (B, *shape) if any value is a batch.

        Raises
        ------
        TypeError
            If a value is no tensor of float64.
        ValueError
            If their number, a shape or a sign is wrong, a value is not finite, or the program is
            infeasible or unbounded.
        RuntimeError
            If a solution misses the tolerance.
        """
        from diffcp import SolverError

        self._check(values)
        is_differentiated = torch.is_grad_enabled() and any(v.requires_grad for v in values)
        options = BACKWARD if is_differentiated else {}  # refused where nothing is differentiated
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an inaccurate solve: judged below
                inputs = [_scaled(value, 1 / SCALE) for value in values]
                *solution, x, y = self.engine(*inputs, solver_args=options)
        except SolverError as error:
            raise ValueError(
                f"expected parameters for which the program has a solution, got: {error}; give "
                "others, or loosen the constraints"
            ) from error
        self._judge(values, x, y)
        return tuple(_scaled(part, SCALE) for part in solution)

    def _check(self, values: Sequence[torch.Tensor]) -> None:
        names = ", ".join(p.name() for p in self.parameters_of_program)
        if len(values) != len(self.parameters_of_program):
            raise ValueError(f"expected one tensor for each of {names}, got {len(values)}")
        batches = set()
        for parameter, value in zip(self.parameters_of_program, values, strict=True):
            _check_value(parameter, value)
            batches |= {len(value)} if value.dim() > len(parameter.shape) else set()
        if len(batches) > 1 or 0 in batches:
            raise ValueError(
                f"expected batches of one size, 1 or more, got {sorted(batches)} for {names}"
            )

    def _judge(self, values: Sequence[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> None:
        """Raise RuntimeError unless x and y solve their cone programs to the tolerance."""
        data = zip(*self._cone_programs(values), *_rows(x, y), strict=True)
        self.residual = float(np.max([residual(*one, cones=self._cones) for one in data]))
        if not self.residual <= self.tol:
            raise RuntimeError(
                f"expected a solution with relative residuals <= {self.tol:g}, got "
                f"{self.residual:.1e} after {MOST_ITERATIONS:,} iterations at most; scale the "
                "parameters to the order of one, or give the layer a larger tol"
            )

    def _cone_programs(self, values: Sequence[torch.Tensor]) -> tuple[list, list]:
        """Return c (columns,) and [-A, b] (rows, columns + 1) of each program of the batch."""
        from cvxpylayers.torch.cvxpylayer import _flatten_and_batch_params

        batch = self.engine.ctx.validate_params(list(values))
        with torch.no_grad():
            stacked = _flatten_and_batch_params(tuple(values), self.engine.ctx, batch).numpy()
        stacked = stacked.reshape(len(stacked), -1)  # (parameters, B)
        c, entries = self.engine._q_scipy @ stacked, self.engine._A_scipy @ stacked
        places, shape = self._structure.A_structure, self._structure.A_shape
        return list(c[:-1].T), [sp.csc_array((e, *places), shape=shape) for e in entries.T]


def make_layer(
    problem: "cp.Problem",
    parameters: "Sequence[cp.Parameter]",
    variables: "Sequence[cp.Variable]",
    *,
    tol: float = 1e-9,
) -> Layer:
    """Make a differentiable layer of a convex program.

    Parameters
    ----------
    problem : cvxpy.Problem
        Disciplined parametrized (DPP): each parameter enters affinely.
    parameters, variables : sequence of cvxpy.Parameter, of cvxpy.Variable
        All parameters of the problem, and the variables to return, in the order of the call.
    tol : float
        Relative residuals that every solution must reach.

    Raises
    ------
    TypeError
        If the problem, a parameter or a variable is none of CVXPY's.
    ValueError
        If the problem is not convex or not DPP, or parameters or variables do not fit it.
    """
    import cvxpy as cp

    check_tolerance(tol)
    _check_kind("problem", problem, cp.Problem)
    for kind, given, whole in (
        (cp.Parameter, parameters, problem.parameters()),
        (cp.Variable, variables, problem.variables()),
    ):
        _check_members(kind, given, whole)
    if not parameters:
        raise ValueError("expected at least one parameter, got none: solve the problem by CVXPY")
    missing = _names(set(problem.parameters()) - set(parameters))
    if missing:
        raise ValueError(f"expected every parameter of the problem, got none of {missing}; add it")
    _check_dpp(problem)
    return Layer(problem, parameters, variables, tol)


def _scaled(value: torch.Tensor, factor: float) -> torch.Tensor:
    """Return the same tensor; the gradient that comes back through it is scaled."""
    if not value.requires_grad:
        return value
    same = value.view_as(value)
    same.register_hook(lambda gradient: factor * gradient)
    return same


def _check_kind(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"expected a cvxpy.{kind.__name__} as {name}, got {type(value).__name__}")


def _check_members(kind: type, given: Sequence, whole: Sequence) -> None:
    for one in given:
        _check_kind(kind.__name__.lower(), one, kind)
    if len(set(given)) < len(given):
        raise ValueError(f"expected each of {_names(given)} once; remove the others")
    for one in given:
        if one not in set(whole):
            raise ValueError(
                f"expected a {kind.__name__.lower()} of the problem, which has {_names(whole)}, "
                f"got '{one.name()}'; leave it out, or use it in the problem"
            )


def _names(members: Any) -> str:
    return ", ".join(sorted(f"'{one.name()}'" for one in members))


def _check_dpp(problem: "cp.Problem") -> None:
    """Raise ValueError, with the expressions at fault, for a problem that is not DPP."""
    if problem.is_mixed_integer():
        raise ValueError("expected a convex problem, got integer or boolean variables; relax them")
    roots = [problem.objective, *problem.constraints]
    if not problem.is_dcp():
        faults = "; ".join(str(node) for root in roots for node in _faults(root, dpp=False))
        raise ValueError(
            f"expected a convex problem by CVXPY's rules, got {faults}; minimize convex functions "
            "or maximize concave ones, under convex constraints"
        )
    faults = "; ".join(
        f"{node}, with the parameter(s) {_names(node.parameters())}"
        for root in roots
        for node in _faults(root, dpp=True)
    )
    if faults:
        raise ValueError(
            f"expected a problem in which each parameter enters affinely (DPP), got {faults}; give "
            "the value that is made of them as one parameter of its own: for a product of "
            "parameters, the product"
        )


def _faults(node: Any, dpp: bool) -> Iterator[Any]:
    """Yield the smallest expressions that break CVXPY's rules, with parameters as unknowns."""
    below = [fault for argument in node.args for fault in _faults(argument, dpp)]
    if below:
        yield from below
    elif not node.is_dcp(dpp=dpp):
        yield node


def _check_value(parameter: "cp.Parameter", value: torch.Tensor) -> None:
    name, shape = f"parameter '{parameter.name()}'", tuple(parameter.shape)
    if not isinstance(value, torch.Tensor) or value.dtype != torch.float64:
        kind = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
        raise TypeError(f"expected a tensor of float64 for {name}, got {kind}; convert it")
    batch = value.dim() - len(shape)
    if batch not in (0, 1) or tuple(value.shape[batch:]) != shape:
        raise ValueError(
            f"expected {name} of shape {shape}, or (B, *{shape}) for a batch, got "
            f"{tuple(value.shape)}; reshape it"
        )
    if not bool(torch.isfinite(value).all()):
        raise ValueError(f"expected finite values for {name}, got NaN or infinity; remove them")
    for has, is_wrong, sign in (
        (parameter.is_nonneg(), value < 0, "negative"),
        (parameter.is_nonpos(), value > 0, "positive"),
    ):
        if has and bool(is_wrong.any()):
            raise ValueError(f"expected no {sign} value for {name}, as it was declared, got one")


def _rows(*solutions: torch.Tensor) -> list[np.ndarray]:
    """Return each (B, n) as an array, a single solution as a batch of one."""
    return [np.atleast_2d(s.detach().numpy()) for s in solutions]
