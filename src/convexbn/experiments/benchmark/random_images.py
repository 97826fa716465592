"""Random images of CIFAR's spectrum, for a machine that has no room for the data.

The centred images are `X = Q diag(sigma) V^T` with random orthonormal Q and V, and
`sigma_i = i^-0.65 sigma_1`: within 3 percent the first hundred singular values of CIFAR-10 at full
size (those after them fall faster). The classes are planted: the largest outputs of a random ReLU
network on X with noise added, so that a network, and the convex program, has something to find in
the leading directions, and something that it cannot fit without memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

POWER = 0.65
_NEURONS = 32  # of the network that the classes come from
_NOISE = 0.5  # standard deviation added to its standardized outputs


@dataclass(frozen=True)
class RandomImages:
    """Images and their classes, on one device.

    Attributes
    ----------
    Q : Tensor of float64, shape (n, d)
        Left singular vectors, orthonormal and each of mean zero, the leading ones first.
    V : Tensor of float64, shape (d, d)
    singular_values : Tensor of float64, shape (d,)
        Of a mean variance of a pixel of one.
    labels : Tensor of int64, shape (n,)
    classes : int
    """

    Q: Tensor
    V: Tensor
    singular_values: Tensor
    labels: Tensor
    classes: int

    @classmethod
    def draw(
        cls, n: int, d: int, classes: int, device: str | torch.device, seed: int = 0
    ) -> "RandomImages":
        """Draw n images of d pixels, d < n, and their classes.

        Raises
        ------
        ValueError
            If there are not more images than pixels: their spectrum would end early.
        """
        if not 0 < d < n:
            raise ValueError(
                f"expected more images than pixels, got n = {n} and d = {d}; draw more images"
            )
        generator = torch.Generator("cpu").manual_seed(seed)  # the same images on every device

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

        Q = normal(n, d)
        Q = torch.linalg.qr(Q - Q.mean(dim=0)).Q
        V = torch.linalg.qr(normal(d, d)).Q
        falling = torch.arange(1, d + 1, dtype=torch.float64, device=device) ** -POWER
        sigma = falling * (n * d / falling.square().sum()).sqrt()
        hidden = torch.relu((Q * sigma) @ normal(d, _NEURONS))
        scores = hidden @ normal(_NEURONS, classes)
        scores = (scores - scores.mean(dim=0)) / scores.std(dim=0)
        labels = (scores + _NOISE * normal(n, classes)).argmax(dim=1)
        return cls(Q, V, sigma, labels, classes)

    @property
    def targets(self) -> Tensor:
        """One-hot targets Y, float64, shape (n, C)."""
        return torch.nn.functional.one_hot(self.labels, self.classes).double()

    def whitened(self, rank: int) -> Tensor:
        """Return the whitened design `[Q_r, 1 / sqrt(n)]`, shape (n, r + 1)."""
        constant = torch.full_like(self.Q[:, :1], len(self.Q) ** -0.5)
        return torch.cat([self.Q[:, :rank], constant], dim=1)

    def pixels(self) -> Tensor:
        """Return the images in float32, shape (n, d)."""
        return ((self.Q * self.singular_values) @ self.V.T).float()
