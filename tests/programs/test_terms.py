"""Terms of one's own: what the solvers need of them, and what they say where it is missing."""

import numpy as np
import pytest
from instances import make, make_cones, with_targets

from convexbn import certify, solve, train_exact
from convexbn.programs.losses import LOSSES, Squared
from convexbn.programs.penalties import PENALTIES, Group
from convexbn.programs.terms import Loss, NewtonLoss, ProximalPenalty, require
from convexbn.solvers.gated.loss_prox import LOSS_PROX
from convexbn.solvers.relu_bn.dual_losses import DUAL_LOSSES


class Without:
    """A term that lacks one method of another."""

    def __init__(self, term, missing):
        self._term, self._missing = term, missing

    def __getattr__(self, name):
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._term, name)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_methods_of_the_protocols(name):
    """A Hessian that is not diagonal is the cross-entropy's own: it is for model "gated" alone."""
    require(LOSSES[name], Loss, "the test")
    if name != "cross_entropy":
        require(LOSSES[name], NewtonLoss, "the test")
    else:
        with pytest.raises(TypeError, match="CrossEntropy lacks hessian"):
            require(LOSSES[name], NewtonLoss, "the test")


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties_have_the_methods_of_the_protocols(name):
    require(PENALTIES[name], ProximalPenalty, "the test")


def solved(model):
    problem = make(0) if model == "gated" else make_cones(model, 0)
    return solve(*problem.data, model=model)


@pytest.mark.parametrize(
    ("model", "missing", "message"),
    [
        ("gated", "hessian", "proximal point method of model 'gated' needs .*hessian.* lacks hess"),
        ("relu", "hessian", "proximal Newton method of model 'relu' needs .* lacks hessian; add"),
        ("gated", "dual_value", "the referee needs .*, but Without lacks dual_value; add"),
    ],
)
def test_a_loss_that_lacks_a_method_is_refused_by_the_solver_that_needs_it(
    monkeypatch, model, missing, message
):
    monkeypatch.setitem(LOSSES, "squared", Without(Squared(), missing))
    with pytest.raises(TypeError, match=message):
        solved(model)


def test_a_solver_asks_for_nothing_that_it_does_not_need(monkeypatch):
    monkeypatch.setitem(LOSSES, "squared", Without(Squared(), "hessian"))
    assert solved("relu_bn").certificate.converged
    monkeypatch.setitem(LOSSES, "squared", Squared())
    monkeypatch.delitem(DUAL_LOSSES, "squared")
    with pytest.raises(TypeError, match=r"interior-point method .* not for 'squared'; add"):
        solved("relu_bn")
    assert solved("gated").certificate.converged
    assert solved("relu").certificate.converged


def test_column_generation_needs_a_hessian(monkeypatch):
    problem = make_cones("relu", 1)
    monkeypatch.setitem(LOSSES, "squared", Without(Squared(), "hessian"))
    with pytest.raises(TypeError, match=r"column generation needs .* lacks hessian"):
        train_exact(problem.U, problem.y, problem.beta)


@pytest.mark.parametrize("missing", ["prox", "slope", "block_norms", "by_column"])
def test_a_penalty_that_lacks_a_method_can_be_judged_but_not_solved(monkeypatch, missing):
    monkeypatch.setitem(PENALTIES, "group", Without(Group(), missing))
    assert certify(*make(0).data, np.zeros(make(0).shape)).objective > 0
    with pytest.raises(TypeError, match=f"model 'gated' needs .* lacks {missing}"):
        solved("gated")
    monkeypatch.setitem(PENALTIES, "group", Without(Group(), "dual_norm"))
    with pytest.raises(TypeError, match="the referee needs a term with value, dual_norm, neurons"):
        certify(*make(0).data, np.zeros(make(0).shape))


def test_a_loss_without_a_proximal_map_is_named(monkeypatch):
    monkeypatch.delitem(LOSS_PROX, "logistic")
    with pytest.raises(
        TypeError, match=r"proximal map of loss 'logistic'.*LOSS_PROX has 'squared'"
    ):
        solve(*with_targets(make(0), "logistic").data, loss="logistic")
