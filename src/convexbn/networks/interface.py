"""What every network here can do: take the statistics of its training samples, and predict.

In training mode BN normalizes by the batch. In evaluation mode it normalizes by the statistics of
the training samples, which are buffers: they are in `state_dict`, and go with the network into
copies and exports. :meth:`Network.set_statistics` computes them, and has to be called again after
the parameters have changed. A new network has none and is in training mode; a network that this
package has trained or recovered has them and comes in evaluation mode.
"""

from typing import Self

import torch
from torch import nn

from convexbn.containers import check_columns, column_names
from convexbn.inputs import ArrayLike, as_tensor, check_cast
from convexbn.networks.normalization import in_mode


class Network(nn.Module):
    """Interface of a network, or of a stack of networks, for objectives and training.

    Attributes
    ----------
    n : int
        Rows over which BN normalizes.
    columns : tuple of str, optional
        Names of the features, where the network was made from a data frame with named columns.
    decayed : tuple of str
        Names of the parameters that weight decay acts on.
    w, output : Tensor, shapes (d, m) and (m, C)
        Weights of the last hidden layer and of the output layer.
    """

    n: int
    columns: tuple[str, ...] | None = None
    w: torch.Tensor
    output: torch.Tensor

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the training samples."""
        raise NotImplementedError

    def set_statistics(self, X: ArrayLike) -> Self:
        """Take the statistics of the training samples, by which evaluation mode normalizes.

        Parameters
        ----------
        X : array or tensor
            The training samples, of the shape that the network takes and any number of them.

        Returns
        -------
        Network
            The network itself, in the mode that it was in.

        Raises
        ------
        ValueError
            If X is not finite, holds no samples, or has another shape than the network takes.
        """
        X = self._samples("X", X)
        if X.shape[-2] == 0:
            raise ValueError("X holds no samples; give the training samples")
        self.measure(X)
        return self

    def predict(self, X: ArrayLike) -> torch.Tensor:
        """Return f(X), shape (n, C), as in evaluation mode, in blocks of rows, without a gradient.

        Parameters
        ----------
        X : array or tensor
            Samples of the shape that the network takes, any number of them and of any dtype.

        Raises
        ------
        ValueError
            If X is not finite, has another shape than the network takes, or is a data frame whose
            columns are not those of the training data in their order.
        RuntimeError
            If the network has no statistics.
        """
        X = self._samples("X", X)
        with torch.no_grad(), in_mode(self, training=False):
            return self.in_blocks(X)

    def measure(self, X: torch.Tensor) -> None:
        """Set the statistics to those of the samples X, which are of the network's dtype."""
        raise NotImplementedError

    def in_blocks(self, X: torch.Tensor) -> torch.Tensor:
        """Return f(X), computed in blocks of rows; for evaluation mode."""
        raise NotImplementedError

    def check_samples(self, X: torch.Tensor) -> None:
        """Raise ValueError or TypeError unless X has the features and the dtype of the network."""
        check_dtype(X, self.w.dtype)
        check_shape(X, self.input_shape)

    def _samples(self, name: str, X: ArrayLike) -> torch.Tensor:
        """Return what a caller handed in, in the dtype and on the device of the network."""
        check_columns(name, column_names(X), self.columns)
        given = as_tensor(name, X, None, device=self.w.device, copy=False)
        samples = given.to(self.w.dtype)
        check_cast(name, given, samples)
        self.check_samples(samples)
        return samples

    def squares(self) -> torch.Tensor:
        """Return the factor of `beta/2` in the paper's objective, one float64 per network."""
        raise NotImplementedError

    def penalty(self) -> torch.Tensor:
        """Return :meth:`squares` without a gradient."""
        raise NotImplementedError


def check_shape(X: torch.Tensor, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless X is like samples of this shape, (n, d) or (K, n, h), for some n."""
    axis = len(shape) - 2  # of the samples
    if X.ndim < len(shape) or X.shape[-1] != shape[-1] or X.shape[-len(shape) : -2] != shape[:axis]:
        sizes = ", ".join("n" if k == axis else str(size) for k, size in enumerate(shape))
        raise ValueError(
            f"the network takes samples of shape ({sizes}), got shape {tuple(X.shape)}; give "
            "samples like those it was made for, a single one with n = 1"
        )


def check_single(network: Network) -> None:
    """Raise ValueError if a network is a stack of several."""
    if network.w.ndim != 2:
        raise ValueError(
            f"expected one network, got a stack of {len(network.w)}; give one network of it"
        )


def check_dtype(X: torch.Tensor, dtype: torch.dtype) -> None:
    """Raise TypeError unless samples are a tensor of the dtype of the network they are given to."""
    if not isinstance(X, torch.Tensor):
        raise TypeError(
            f"a network is called with a tensor of its {dtype}, got {type(X).__name__}; give "
            "other arrays to network.predict(X)"
        )
    if X.dtype != dtype:
        raise TypeError(
            f"the samples must be of the network's {dtype}, got {X.dtype}; convert them by "
            f"X.to({dtype}), or the network"
        )
