"""The gated program on a filtered design, its gates, and the measures of its solutions.

With gains f the design is `[U_r diag(f), 1/sqrt(n)]`. The gates are drawn once per seed in the
coordinates of the images themselves, `[U_r diag(sigma) / sigma_1, 1/sqrt(n)]`, and serve all
filters alike. A gate g there is the gate `diag(sigma / (sigma_1 f)) g` of the filtered design: as
gains are positive, each filter is a gated network with gates of its own coordinates, and the
patterns D stay as they are while f is learned. New images have their patterns from the same gates
in the same coordinates. Two things follow, for all methods alike. A filter changes what a network
can weigh, not where its gates are open. And a truncated program keeps gates that look at all
directions, where the program of a truncated run of `convex` has gates of the k leading ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from convexbn.arrangements.gates import activation, sample_gates
from convexbn.data.preprocessing import targets_of
from convexbn.evaluation import accuracy, mean_loss
from convexbn.inputs import check_between
from convexbn.programs.design import forward
from convexbn.whitening import Whitening

SPLITS = "train", "validation", "test"


@dataclass(frozen=True)
class Split:
    """Images of one split under the gates of one seed.

    Attributes
    ----------
    U : Tensor, shape (m, r + 1)
        Whitened coordinates without a filter.
    D : Tensor of bool, shape (m, P)
    Y : Tensor, shape (m, C)
    labels : ndarray, shape (m,)
    """

    U: Tensor
    D: Tensor
    Y: Tensor
    labels: np.ndarray

    def filtered(self, gains: Tensor) -> Tensor:
        """Return the design (m, r + 1) with its columns, but the constant one, times the gains."""
        return self.U * torch.cat([gains, gains.new_ones(1)])


@dataclass(frozen=True)
class Problem:
    """Images, whitened, with the gates of one seed.

    Attributes
    ----------
    ratios : Tensor, shape (r,)
        Singular values over the largest.
    train, validation, test : Split
    """

    ratios: Tensor
    train: Split
    validation: Split
    test: Split

    @classmethod
    def of(
        cls,
        features: dict[str, np.ndarray],
        whitening: Whitening,
        P: int,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> "Problem":
        """Draw the gates, and put all images in the coordinates of the program, in float64."""
        in_images = whitening.filtered("power", 1.0)  # the coordinates sigma_i / sigma_1 u_i
        G = sample_gates(in_images.U, P, seed)
        splits = {
            split: _split(features, split, whitening, in_images, G, device) for split in SPLITS
        }
        ratios = whitening.singular_values / whitening.singular_values[0]
        return cls(torch.as_tensor(ratios, device=device), **splits)

    def truncated(self, rank: int) -> "Problem":
        """Return the problem on the leading directions, with the same gates.

        Raises
        ------
        ValueError
            If there are fewer directions.
        """
        check_between("rank", rank, 1, len(self.ratios))
        splits = {split: _leading(getattr(self, split), rank) for split in SPLITS}
        return replace(self, ratios=self.ratios[:rank], **splits)

    def measures(self, gains: Tensor, W: Tensor) -> dict[str, float]:
        """Return the accuracies of weights (r + 1, P, C), and their loss on validation images."""
        scores = {
            split: forward(part.filtered(gains), part.D, W).cpu()
            for split, part in ((split, getattr(self, split)) for split in SPLITS)
        }
        found = {
            f"{split}_accuracy": accuracy(scores[split], getattr(self, split).labels)
            for split in SPLITS
        }
        loss = mean_loss(scores["validation"], self.validation.Y.cpu())
        return {"validation_loss": loss} | found


def _split(
    features: dict[str, np.ndarray],
    split: str,
    whitening: Whitening,
    in_images: Whitening,
    G: np.ndarray,
    device: str | torch.device,
) -> Split:
    def rows(design: Whitening) -> np.ndarray:
        # The stored coordinates of the training samples are orthonormal to the last digit.
        return design.U if split == "train" else design.transform(features[f"X_{split}"])

    labels = features[f"labels_{split}"]
    tensors = (rows(whitening), activation(rows(in_images), G), targets_of(labels, features))
    U, D, Y = (torch.as_tensor(a, device=device) for a in tensors)
    return Split(U, D, Y.double(), labels)


def _leading(split: Split, rank: int) -> Split:
    return replace(split, U=torch.cat([split.U[:, :rank], split.U[:, -1:]], dim=1))
