"""Labelled samples on a device, and what a network says of them.

Images keep the memory format in which their features are flattened, row by row with the channels of
a pixel side by side (channels_last): the convolutions of a CPU are faster on it. A step of a
ResNet-20 on 16 x 16 or 32 x 32 pixels took 0.64 to 0.87 of the time of the default format.
"""

from dataclasses import dataclass

import torch
from torch import nn

from convexbn.evaluation import accuracy
from convexbn.inputs import as_tensor, as_whole, check_same_length
from convexbn.networks.normalization import in_mode
from convexbn.products import repeatable

ROWS = 500  # samples that go through a network at a time outside of training


@dataclass(frozen=True)
class Samples:
    """Labelled samples on a device.

    Attributes
    ----------
    X : Tensor of float32, shape (n, c, H, W) in the memory format channels_last, or (n, d)
    labels : Tensor of int64, shape (n,)
    """

    X: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        check_same_length("X", self.X, "labels", self.labels)

    @classmethod
    def of(
        cls,
        features: dict,
        split: str = "train",
        device: str | torch.device = "cpu",
        flat: bool = False,
    ) -> "Samples":
        """Return a split of the features of a data set of whole images.

        Parameters
        ----------
        features : dict of arrays
            X_* (n, H W c), labels_* (n,) and image (3,), as
            :class:`convexbn.data.preprocessing.Features` has them.
        split : {"train", "validation", "test"}
        device : str or torch.device
        flat : bool
            Whether to leave the images as vectors (n, d), for fully connected networks.

        Raises
        ------
        ValueError
            If X_* and labels_* differ in length, or X_* are no images of the given size.
        """
        X = as_tensor(f"X_{split}", features[f"X_{split}"], None, device=device, copy=False)
        labels = as_whole(f"labels_{split}", features[f"labels_{split}"])
        check_same_length(f"X_{split}", X, f"labels_{split}", labels)
        height, width, channels = (int(side) for side in features["image"])
        if X.ndim != 2 or X.shape[1] != height * width * channels:
            raise ValueError(
                f"X_{split} must hold images of {height} x {width} x {channels}, one per row, got "
                f"shape {tuple(X.shape)}; give a data set without patches"
            )
        if not flat:
            X = X.view(-1, height, width, channels).permute(0, 3, 1, 2)  # channels_last
        return cls(X, torch.as_tensor(labels, device=X.device))

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def scores_of(network: nn.Module, samples: Samples) -> torch.Tensor:
    """Return the scores (n, C) of samples in evaluation mode, computed in blocks."""
    with in_mode(network, training=False), repeatable(samples.X.device):
        return torch.cat([network(X) for X in samples.X.split(ROWS)])


def accuracy_of(network: nn.Module, samples: Samples) -> float:
    """Return the share of samples with the correct class; NaN where a score is not finite."""
    return accuracy(scores_of(network, samples), samples.labels)
