"""Neurons that column generation has found, and their certificate."""

from dataclasses import dataclass, replace

import torch

from convexbn.programs.certificates import Certificate, relative_gap
from convexbn.solvers.sparsity import merged


@dataclass(frozen=True)
class Found:
    """Neurons, and the bound that a search over the sphere gives them.

    Attributes
    ----------
    S : Tensor, shape (m, p)
    signs : Tensor, shape (m,)
    objective, bound : float
        The bound is conditional on the search.
    violation : float
        Largest `|v^T relu(U w)| / beta - 1` found.
    rounds : int
        Rounds so far.
    searched : int
        Random starts of all searches with these neurons.
    stopped : str
        "tolerance" if the gap is within it and no search found more; else "iterations" or
        "precision" at the end, "" before.
    """

    S: torch.Tensor
    signs: torch.Tensor
    objective: float
    bound: float
    violation: float
    rounds: int
    searched: int
    stopped: str = ""

    @property
    def gap(self) -> float:
        """Relative gap to the conditional bound."""
        return relative_gap(self.objective, self.bound)

    @property
    def weights(self) -> torch.Tensor:
        """Weights (2, p, m) of model "relu"; one block of zeros if there is no neuron."""
        if len(self.S) == 0:
            return self.S.new_zeros(2, self.S.shape[1], 1)
        return torch.stack([torch.where(self.signs == sign, self.S.T, 0) for sign in (1, -1)])

    def judged(self, certificate: Certificate) -> Certificate:
        """Return the certificate on the neurons' cones, with the search's bound for all others."""
        reason = (
            f"{certificate.reason} on the cones of the {len(self.S)} neurons; on the whole sphere "
            f"a search from {self.searched} starts found the dual constraint violated by at most "
            f"{max(self.violation, 0):.1e} of beta: if no neuron violates it by more, the relative "
            f"gap to the exact optimum is {self.gap:.1e} (not certified); stopped by "
            f"{self.stopped} after {self.rounds} rounds"
        )
        return replace(
            certificate,
            iterations=self.rounds,
            converged=certificate.converged and self.stopped == "tolerance",
            stopped=self.stopped,
            reason=reason,
        )


def joint(S: torch.Tensor, signs: torch.Tensor, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return neurons (k, p) and signs with those of one sign and direction as one, their sum."""
    order = torch.linalg.vector_norm(S, dim=1).argsort(descending=True)
    S, signs = S[order], signs[order]
    for sign in (1, -1):
        side = signs == sign
        S[side] = merged(S[side], angle)
    kept = S.any(dim=1)
    return S[kept], signs[kept]
