"""What a solve returns: weights, the certificate of their optimality, and their predictions."""

from dataclasses import dataclass

import numpy as np
import torch

from convexbn.programs.certificates import Certificate
from convexbn.programs.gated import forward, pooled
from convexbn.programs.penalties import PENALTIES


class UncertifiedError(RuntimeError):
    """A solution's certificate misses the tolerance."""


@dataclass(frozen=True)
class Solution:
    """Weights with the referee's certificate.

    Attributes
    ----------
    weights : ndarray or Tensor, shape (r + 1, P, C), or (2, r + 1, P) for the ReLU models
        Of the kind of the design that was handed in. Of a ReLU model the blocks of the neurons
        with positive and with negative output weight.
    certificate : Certificate
    beta : float
    model, loss, penalty : str
        The terms of the program that it solves.
    dual : ndarray or Tensor, shape (n, C), optional
        Dual variable of the gated program: what its certificate needs besides the weights.
    multipliers : ndarray or Tensor, shape (2, P, h), optional
        Of the ReLU models' constraints: what their certificate needs.
    """

    weights: np.ndarray | torch.Tensor
    certificate: Certificate
    beta: float
    model: str = "gated"
    loss: str = "squared"
    penalty: str = "group"
    dual: np.ndarray | torch.Tensor | None = None
    multipliers: np.ndarray | torch.Tensor | None = None

    @property
    def neurons(self) -> int:
        """Number of non-zero blocks: neurons of the network that it stands for."""
        W = torch.as_tensor(self.weights)
        if self.model == "gated":
            return PENALTIES[self.penalty].neurons(W)
        return int((W.norm(dim=1) > 0).sum())

    def certified(self) -> "Solution":
        """Return the solution itself.

        Raises
        ------
        UncertifiedError
            If its certificate misses the tolerance.
        """
        if not self.certificate.converged:
            raise UncertifiedError(
                f"model {self.model!r}, beta {self.beta:g}: {self.certificate.reason}; raise the "
                "tolerance or beta"
            )
        return self

    def predict(self, U, D=None):
        """Return the predictions (m, C) for whitened samples.

        Parameters
        ----------
        U : array or tensor, shape (m, r + 1) or (K, m, r + 1)
        D : array or tensor of bool, shape (m, P) or (K, m, P)
            What the gates say of them. Model "relu" does not need it: there a neuron is its gate.

        Raises
        ------
        ValueError
            If D is missing for model "gated"; for model "relu_bn", whose neurons have to be
            normalized by the training samples.
        """
        W = torch.as_tensor(self.weights)
        U = torch.as_tensor(U, dtype=W.dtype, device=W.device)
        patches, rows = len(U) if U.ndim == 3 else 1, U.reshape(-1, U.shape[-1])
        if self.model == "gated":
            if D is None:
                raise ValueError("model 'gated' predicts with gates: give D = activation(U, G)")
            D = torch.as_tensor(D).to(W.device)
            F = forward(rows, D.reshape(-1, D.shape[-1]), W)
        elif self.model == "relu":
            s, t = W
            F = (torch.relu(rows @ s).sum(1) - torch.relu(rows @ t).sum(1))[:, None]
        else:
            raise ValueError(
                "model 'relu_bn' normalizes by its training samples: predict with "
                "recover_network(solution, X)"
            )
        F = pooled(F, patches)
        return F if torch.is_tensor(self.weights) else F.numpy()
