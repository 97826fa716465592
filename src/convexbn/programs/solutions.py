"""Solutions: weights, the certificate of their optimality, and their predictions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from convexbn.inputs import ArrayLike, as_tensor
from convexbn.programs.certificates import Certificate
from convexbn.programs.design import forward, pooled
from convexbn.programs.penalties import PENALTIES
from convexbn.storage import load_fields, save_fields

_ARRAYS, _WORDS = ("weights", "dual", "multipliers"), ("beta", "model", "loss", "penalty")


class UncertifiedError(RuntimeError):
    """A solution's certificate misses the tolerance."""


class NotFiniteError(RuntimeError):
    """A solver returned NaN or infinities."""


@dataclass(frozen=True, repr=False, eq=False)  # arrays have no == of their own
class Solution:
    """Weights with the referee's certificate.

    Attributes
    ----------
    weights : ndarray or Tensor, shape (r + 1, P, C), or (2, r + 1, P) for the ReLU models
        numpy or torch, as the design was. A ReLU model has the blocks of the neurons with positive
        and with negative output weight.
    certificate : Certificate
    beta : float
    model, loss, penalty : str
        The terms of the program that it solves.
    dual : ndarray or Tensor, shape (n, C), optional
        Dual variable from which the referee computes its bound, of the samples that this process
        has; None for model "relu", whose bound comes from the weights' own residual.
    multipliers : ndarray or Tensor, shape (2, P, h), optional
        Multipliers of the ReLU models' constraints, from which the referee computes its bound.
    """

    weights: np.ndarray | torch.Tensor
    certificate: Certificate
    beta: float
    model: str = "gated"
    loss: str = "squared"
    penalty: str = "group"
    dual: np.ndarray | torch.Tensor | None = None
    multipliers: np.ndarray | torch.Tensor | None = None

    def __repr__(self) -> str:
        certificate = self.certificate
        verdict = "converged" if certificate.converged else "not converged"
        return (
            f"Solution(beta={self.beta:.4g}, model={self.model!r}, loss={self.loss!r}, "
            f"penalty={self.penalty!r}, neurons={self.neurons}, "
            f"objective={certificate.objective:.6g}, "
            f"relative gap {certificate.relative_gap:.1e}, {verdict})"
        )

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file, for :meth:`load`, and the folders that it lies in.

        Raises
        ------
        ModuleNotFoundError
            If safetensors is not installed.
        """
        words = {name: getattr(self, name) for name in _WORDS}
        words |= {"certificate": self.certificate.as_dict()}
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_fields(path, "Solution", arrays, **words, of_torch=torch.is_tensor(self.weights))

    @classmethod
    def load(cls, path: str | Path) -> "Solution":
        """Read what :meth:`save` has written, to the last bit; tensors come to the CPU.

        Raises
        ------
        ModuleNotFoundError
            If safetensors is not installed.
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated, or holds something else.
        """
        needed = "weights", *_WORDS, "certificate", "of_torch"
        arrays, words = load_fields(path, "Solution", needed)
        found = {name: words[name] for name in _WORDS}
        try:
            certificate = Certificate(**words["certificate"])
        except TypeError as error:
            raise ValueError(
                f"{path} has a certificate of another version of this package ({error}); "
                "solve again"
            ) from error
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return cls(**(tensors if words["of_torch"] else arrays), certificate=certificate, **found)

    @property
    def neurons(self) -> int:
        """Number of neurons of the network that the weights stand for."""
        W = as_tensor("weights", self.weights, None, copy=False)
        if self.model == "gated":
            return PENALTIES[self.penalty].neurons(W)
        return int(W.any(dim=1).sum())

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

    def predict(self, U: ArrayLike, D: ArrayLike | None = None) -> np.ndarray | torch.Tensor:
        """Return the predictions (m, C) for whitened samples.

        Parameters
        ----------
        U : array or tensor, shape (m, r + 1) or (K, m, r + 1)
        D : array or tensor of bool, shape (m, P) or (K, m, P)
            Patterns of the gates on these samples. Model "relu" needs none: a neuron is its gate.

        Raises
        ------
        ValueError
            If D is missing for model "gated", or for model "relu_bn", whose neurons have to be
            normalized by the training samples.
        """
        if self.model not in ("gated", "relu"):
            raise ValueError(
                f"model {self.model!r} normalizes by its training samples: predict with "
                "recover_network(solution, X).predict(X_new)"
            )
        # The weights can be stored in float32; their values are exact.
        W = as_tensor("weights", self.weights, copy=False)
        U = as_tensor("U", U, device=W.device, copy=False)
        self._check_samples(U, W)
        patches, rows = len(U) if U.ndim == 3 else 1, U.reshape(-1, U.shape[-1])
        if self.model == "relu":
            F = (torch.relu(rows @ W[0]).sum(1) - torch.relu(rows @ W[1]).sum(1))[:, None]
        elif D is None:
            raise ValueError("model 'gated' predicts with gates: give D = activation(U, G)")
        else:
            D = as_tensor("D", D, bool, device=W.device, copy=False)
            _check_patterns(U, D, W.shape[1])
            F = forward(rows, D.reshape(-1, D.shape[-1]), W)
        F = pooled(F, patches)
        return F if torch.is_tensor(self.weights) else F.numpy()

    def _check_samples(self, U: torch.Tensor, W: torch.Tensor) -> None:
        """Raise ValueError unless U has the columns that the weights have rows."""
        columns = W.shape[0] if self.model == "gated" else W.shape[1]
        if U.ndim not in (2, 3) or U.shape[-1] != columns:
            raise ValueError(
                f"U must have shape (m, {columns}), or (K, m, {columns}) in patches, for weights "
                f"of shape {tuple(W.shape)}, got {tuple(U.shape)}; give whitening.transform(X_new)"
            )


def _check_patterns(U: torch.Tensor, D: torch.Tensor, P: int) -> None:
    """Raise ValueError unless there is a pattern of each gate for the samples."""
    if D.shape != (*U.shape[:-1], P):
        raise ValueError(
            f"D must have shape {(*U.shape[:-1], P)} for U {tuple(U.shape)} and {P} gates, got "
            f"{tuple(D.shape)}; make it with activation(U, G)"
        )
