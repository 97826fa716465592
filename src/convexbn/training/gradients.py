"""Gradients of the networks' training objectives on a batch, by hand, for a whole stack.

The loss of a batch of b samples is `1/(2b) ||F - Y||^2`. A sample has K patches (K = 1 without
convolution); BN is over all rows, and outputs are averaged over the patches. In BN networks only
the b K rows X are centred, as `C (X w) = (C X) w`, where C subtracts the mean:

    Z = C X w,   root = 1/std(Z),   H = relu(weight root Z + bias),   F = mean_k H_k output;
    R = (F - Y)/b,   d output = (mean_k H_k)^T R,   G = R output^T / K where H > 0,
    d bias = sum G,   S = sum G Z,   d weight = root S,
    d w = (C X)^T [weight root (G - Z root^2 S / (b K))].

Without BN, `H = relu(X w + bias)` and `d w = X^T G`. The convex program has, on the features Z of
unit variance of :mod:`convexbn.networks.gated_program`,

    F = mean_k sum_i D_i Z_k W_i,   d W_i = sum_k Z_k^T D_i R / K.

The gradient of the weight decay is added to each of them. All results are written into existing
arrays: new arrays for the hidden values of a batch cost as much time as the values themselves.
"""

import numpy as np
import torch

from convexbn.networks.gated_program import ConvexNetwork
from convexbn.networks.normalization import inverse_root
from convexbn.networks.two_layer import TwoLayerNetwork
from convexbn.products import are_fast
from convexbn.programs.memory import pass_rows
from convexbn.training.optimizers import per_member


class Gradient:
    """The gradient of the objectives of a stack, and the arrays for computing it.

    Parameters
    ----------
    network : Module
        A stack of networks; its n counts the rows of all patches.
    betas : Tensor, shape (members,)
        Weight decays in the paper's units.
    patches : int
        Number of patches per sample, K.
    """

    def __init__(
        self, network: TwoLayerNetwork | ConvexNetwork, betas: torch.Tensor, patches: int
    ) -> None:
        self.network, self.patches = network, patches
        self._space: dict[str, torch.Tensor] = {}
        # For the loss per sample: there are K times fewer samples than rows.
        self.decay = torch.as_tensor(patches * network.decay(betas), device=betas.device)
        self.members = len(betas)
        self.values = {name: p.detach() for name, p in network.named_parameters()}

    def space(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """Return the array (members, rows, columns) of this name, with arbitrary content."""
        shape = (self.members, rows, columns)
        if name not in self._space or self._space[name].shape != shape:
            self._space[name] = self.decay.new_empty(shape)
        return self._space[name]


class TwoLayerGradient(Gradient):
    """The gradient of networks of :mod:`convexbn.networks.two_layer`."""

    network: TwoLayerNetwork

    @torch.no_grad()
    def __call__(self, X: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor]) -> None:
        """Write the gradient of each parameter.

        Parameters
        ----------
        X : Tensor, shape (members, b K, h), or (1, b K, h) if all members have the same batch
            The patches of a sample are consecutive rows.
        Y : Tensor, shape (members, b, C) or (1, b, C)
        into : dict of str to Tensor
        """
        self.of_loss(X, Y, into)
        for name in self.network.decayed:
            p = self.values[name]
            into[name].addcmul_(per_member(self.decay, p), p)

    def of_loss(self, X: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor]) -> None:
        """Write the gradient of the loss."""
        raise NotImplementedError

    def through_output(
        self, H: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor], spare: torch.Tensor
    ) -> torch.Tensor:
        """Write the gradient of the output layer; overwrite H with the pre-activations' gradient.

        H (e, b K, m) holds the rectified values on entry and is returned; `spare` has its shape.
        """
        output, b = self.values["output"], Y.shape[-2]
        by_sample = H.unflatten(-2, (b, self.patches))
        pooled = H if self.patches == 1 else by_sample.mean(-2)  # (e, b, m)
        residual = self.space("R", b, Y.shape[-1])
        multiply(pooled, output, residual).sub_(Y).div_(b)
        multiply(pooled.mT, residual, into["output"])
        G = multiply(residual.div_(self.patches), output.mT, spare[:, :b])
        by_sample.sign_().mul_(G.unsqueeze(-2))  # 1 where a neuron is on
        return H


class BNGradient(TwoLayerGradient):
    """The gradient of BN networks."""

    def of_loss(self, X: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor]) -> None:
        """Write the gradient of the loss."""
        w, weight, bias = (self.values[name] for name in ("w", "weight", "bias"))
        rows, m = X.shape[-2], w.shape[-1]
        Z, H, spare = (self.space(name, rows, m) for name in ("Z", "H", "spare"))
        mean = X.mean(-2, keepdim=True)
        X = X - mean
        multiply(X, w, Z)
        variance = torch.mul(Z, Z, out=spare).mean(-2, keepdim=True)  # (e, 1, m)
        root = inverse_root(variance, mean @ w)
        slope = weight.unsqueeze(-2) * root
        torch.addcmul(bias.unsqueeze(-2), Z, slope, out=H).relu_()
        G = self.through_output(H, Y, into, spare)
        S = torch.mul(G, Z, out=spare).sum(-2, keepdim=True)
        torch.sum(G, -2, out=into["bias"])
        torch.mul(S, root, out=into["weight"].unsqueeze(-2))
        G.addcmul_(Z, S * root.square() / rows, value=-1).mul_(slope)
        multiply(X.mT, G, into["w"])


class PlainGradient(TwoLayerGradient):
    """The gradient of networks without BN."""

    def of_loss(self, X: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor]) -> None:
        """Write the gradient of the loss."""
        w, bias = self.values["w"], self.values["bias"]
        H, spare = (self.space(name, X.shape[-2], w.shape[-1]) for name in ("H", "spare"))
        multiply(X, w, H).add_(bias.unsqueeze(-2)).relu_()
        G = self.through_output(H, Y, into, spare)
        torch.sum(G, -2, out=into["bias"])
        multiply(X.mT, G, into["w"])


class ConvexGradient(Gradient):
    """A subgradient of the gated program's objective; that of the norm of a zero block is 0."""

    network: ConvexNetwork

    @torch.no_grad()
    def __call__(self, Z: torch.Tensor, Y: torch.Tensor, into: dict[str, torch.Tensor]) -> None:
        """Write the subgradient; see :class:`TwoLayerGradient`."""
        W, b = self.values["W"], Y.shape[-2]
        _, p, C, P = W.shape
        budget = pass_rows(p, P, C, device=W.device.type)
        step = max(1, budget // self.patches)  # samples, as many as fit the cache of a CPU
        for start in range(0, b, step):
            samples = slice(start, min(start + step, b))
            rows = slice(self.patches * samples.start, self.patches * samples.stop)
            self._add_loss(Z[:, rows], Y[:, samples], b, into["W"].flatten(-2), start == 0)
        norms = torch.linalg.vector_norm(W, dim=-3, keepdim=True)
        into["W"].addcmul_(W, (per_member(self.decay, W) / norms).masked_fill_(norms == 0, 0))

    def _add_loss(
        self, Z: torch.Tensor, Y: torch.Tensor, b: int, gradient: torch.Tensor, is_first: bool
    ) -> None:
        """Add the gradient of the loss on some of the b samples to `gradient`, (e, p, C P)."""
        W = self.values["W"]
        D = self.network.mask(Z).to(Z.dtype).unsqueeze(-2)  # (e, rows, 1, P)
        linear = self.space("linear", Z.shape[-2], W[0, 0].numel())
        linear = multiply(Z, W.flatten(-2), linear).unflatten(-1, W.shape[-2:])  # (e, rows, C, P)
        outputs = linear.mul_(D).sum(-1).unflatten(-2, (-1, self.patches)).mean(-2)
        residual = (outputs - Y) / (b * self.patches)  # (e, samples, C)
        residual = residual.repeat_interleave(self.patches, dim=-2)
        torch.mul(D, residual.unsqueeze(-1), out=linear)
        if is_first:
            multiply(Z.mT, linear.flatten(-2), gradient)
        else:
            gradient += Z.mT @ linear.flatten(-2)


def multiply(A: torch.Tensor, B: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Write the products of stacked matrices into `out`, and return it.

    On one thread of a CPU NumPy computes them, unless oneDNN does
    (:func:`convexbn.products.fast_products`): its matrix product is never much slower than
    PyTorch's, and several times as fast for narrow matrices. With several threads, the thread pools
    of NumPy and PyTorch would disturb each other.
    """
    if out.is_cuda or torch.get_num_threads() > 1 or are_fast():
        return torch.matmul(A, B, out=out)
    with np.errstate(all="ignore"):  # a network that diverges is noticed when it is evaluated
        np.matmul(A.numpy(), B.numpy(), out=out.numpy())
    return out
