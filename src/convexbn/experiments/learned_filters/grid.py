"""The grid: weight decays times ranks, and weight decays times ridge filters."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from convexbn.experiments.learned_filters.problem import Problem
from convexbn.experiments.learned_filters.settings import RIDGE, TRUNCATED, Settings
from convexbn.solvers import solve_path
from convexbn.whitening import FILTERS


def grid(problem: Problem, settings: Settings) -> Iterator[tuple[dict, Tensor]]:
    """Solve the grid, one path of weight decays for each filter.

    Yields
    ------
    row : dict
        Some of the columns of :mod:`convexbn.experiments.learned_filters.measure`.
    gains : Tensor, shape (r,)
        Zero beyond a truncation.
    """
    for rank in settings.ranks:
        part = problem.truncated(rank)
        for row in _path(part, torch.ones_like(part.ratios), settings):
            gains = (torch.arange(len(problem.ratios)) < rank).to(problem.ratios)
            yield {"method": TRUNCATED, "value": rank} | row, gains
    for value in settings.ridge:
        ratios = problem.ratios.cpu().numpy()
        gains = torch.as_tensor(FILTERS["ridge"](ratios, value)).to(problem.ratios)
        for row in _path(problem, gains, settings):
            yield {"method": RIDGE, "value": value} | row, gains


def _path(problem: Problem, gains: Tensor, settings: Settings) -> Iterator[dict]:
    train, start = problem.train, time.perf_counter()
    data = train.filtered(gains), train.D, train.Y, settings.betas
    for solution in solve_path(*data, tol=settings.tolerance):
        seconds = time.perf_counter() - start
        measures = problem.measures(gains, torch.as_tensor(solution.weights).double())
        certificate = solution.certificate
        yield measures | {
            "beta": solution.beta,
            "relative_gap": certificate.relative_gap,
            "certified": certificate.converged,
            "seconds": seconds,
        }
        start = time.perf_counter()
