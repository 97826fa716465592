"""The data of a sweep on the device, one row per sample with its patches side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from convexbn.data.preprocessing import targets_of
from convexbn.inputs import as_array, as_tensor, as_whole, check_same_length
from convexbn.networks.normalization import BLOCK
from convexbn.training.augmentation import Augmentation
from convexbn.training.sweeps import Sweep

SPLITS = "train", "validation", "test"
_ROWS = 4096  # whose squares are added at a time
_SAFE = 0.4  # the square of a spread within these powers of the smallest number is one


@dataclass(frozen=True)
class TrainingData:
    """The arrays of a training, as :func:`convexbn.training.engine.train` uses them.

    Attributes
    ----------
    X : dict of str to Tensor
        Samples of each split, shape (m, K h): the K patches of a sample one after the other; K = 1
        for features without patches.
    Y : Tensor, shape (n, C)
    labels : dict of str to ndarray
    targets : dict of str to ndarray
        Targets of the training and the test labels, shape (m, C).
    h : int
        Number of entries of a patch, or of all features.
    gates : dict of int to Tensor
        Gates by seed, shape (h, P), for the convex program; otherwise empty.
    setup_seconds : dict of int to float
        Seconds by seed that the work before the training took.
    augmentation : Augmentation or None
        Augmentation of the training images in a batch, if any.
    """

    X: dict[str, torch.Tensor]
    Y: torch.Tensor
    labels: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]
    h: int
    gates: dict[int, torch.Tensor]
    setup_seconds: dict[int, float]
    augmentation: Augmentation | None = None

    @classmethod
    def read(cls, features: dict, sweep: Sweep, device: str | torch.device) -> "TrainingData":
        """Check the features that a training takes, and put them on the device.

        Raises
        ------
        ValueError
            If the features hold NaN or do not fit together, labels are no integers, X_train and
            Y_train are not of one dtype, X_train is of a size that batch normalization would lose
            in rounding, the convex program has no gates, or features other than whole images are to
            be augmented.
        """
        samples = {split: _by_sample(f"X_{split}", features, device) for split in SPLITS}
        Y = as_tensor("Y_train", features["Y_train"], None, device=device, copy=False)
        labels = {split: _labels(f"labels_{split}", features, Y) for split in SPLITS}
        _check(samples, Y, labels)
        if sweep.network == "bn":
            check_spread(samples["train"].flatten(1))
        h, seeds = samples["train"].shape[-1], sweep.seeds
        seconds = features.get("setup_seconds", np.zeros(len(seeds)))
        return cls(
            X={split: X.flatten(1) for split, X in samples.items()},
            Y=Y,
            labels=labels,
            targets={split: targets_of(labels[split], features) for split in ("train", "test")},
            h=h,
            gates=_gates(features, seeds, h) if sweep.network == "convex" else {},
            setup_seconds=dict(zip(seeds, map(float, seconds), strict=True)),
            augmentation=_augmentation(features, sweep, device) if sweep.is_augmented else None,
        )

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return self.X["train"].shape[1] // self.h

    @property
    def outputs(self) -> int:
        """Outputs, C."""
        return self.Y.shape[1]

    @property
    def units(self) -> int:
        """Units of the convex program, one per gate and output: P C."""
        return self.outputs * next(iter(self.gates.values())).shape[1]

    def rows(self, split: str) -> torch.Tensor:
        """Return the rows of all patches of a split, shape (m K, h)."""
        return self.X[split].view(-1, self.h)

    def batch(
        self, index: torch.Tensor, ways: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows (e, b K, h) and targets (e, b, C) of the training samples `index` (e, b).

        With `ways` (e, b) given, each sample is augmented in its own way.
        """
        e, flat = len(index), index.flatten()
        X, Y = self.X["train"].index_select(0, flat), self.Y.index_select(0, flat)
        if ways is not None and self.augmentation is not None:
            X = self.augmentation(X, ways.flatten())
        return X.view(e, -1, self.h), Y.view(e, -1, self.outputs)

    @torch.no_grad()
    def scores(self, network: nn.Module, split: str) -> torch.Tensor:
        """Return the scores of a stack on a split, (e, m, C), in blocks that fit the cache.

        The stack is in evaluation mode.
        """
        hidden = max(p.numel() for p in network.parameters()) // self.h  # of a row
        samples = max(1, BLOCK // (hidden * self.patches))
        return torch.cat(
            [
                network(X.view(-1, self.h))  # (e, m K, C)
                .unflatten(-2, (len(X), self.patches))
                .mean(-2)
                for X in self.X[split].split(samples)
            ],
            dim=-2,
        )


def _by_sample(name: str, features: dict, device: str | torch.device) -> torch.Tensor:
    """Return features (m, d) unchanged, and patches (K, m, h) in the order (m, K, h)."""
    X = as_tensor(name, features[name], None, device=device, copy=False)
    if X.ndim not in (2, 3):
        raise ValueError(
            f"{name} must have shape (n, d), or (K, n, h) for patches, got {tuple(X.shape)}; see "
            "convexbn.patches"
        )
    return X if X.ndim == 2 else X.transpose(0, 1)


def _labels(name: str, features: dict, Y: torch.Tensor) -> np.ndarray:
    """Return the labels of a split, which are integers and classes of Y."""
    labels = as_array(name, features[name], None)
    if labels.ndim != 1 or (len(labels) and labels.dtype.kind not in "iu"):
        raise ValueError(
            f"{name} must be integers of shape (n,), the class of each sample, got {labels.dtype} "
            f"of shape {labels.shape}; convert whole numbers by .astype(int), and a column by "
            ".reshape(-1)"
        )
    classes = max(2, Y.shape[-1])
    if labels.max(initial=0) >= classes:
        raise ValueError(
            f"{name} must be below {classes}, the number of classes in Y_train of shape "
            f"{tuple(Y.shape)}, got {labels.max()}; number the classes from 0"
        )
    return as_whole(name, labels)


def _check(
    samples: dict[str, torch.Tensor], Y: torch.Tensor, labels: dict[str, np.ndarray]
) -> None:
    train = samples["train"]
    if len(train) < 2:
        raise ValueError(
            f"X_train must have at least two samples to normalize over, got {len(train)}; give more"
        )
    if Y.ndim != 2:
        raise ValueError(
            f"Y_train must have shape (n, C), got {tuple(Y.shape)}; give one output as Y[:, None]"
        )
    if train.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"X_train must be of float32 or float64, the precision of the training, got "
            f"{train.dtype}; convert it by .astype(numpy.float32)"
        )
    for name, A in (("Y_train", Y), *((f"X_{split}", X) for split, X in samples.items())):
        if A.dtype != train.dtype:
            raise ValueError(
                f"{name} must have the dtype of X_train, {train.dtype}, got {A.dtype}; convert it"
            )
    check_same_length("X_train", train, "Y_train", Y)
    for split, X in samples.items():
        check_same_length(f"X_{split}", X, f"labels_{split}", labels[split])
        if X.shape[1:] != train.shape[1:]:
            raise ValueError(
                f"X_{split} must have samples of the shape of the training samples, "
                f"{tuple(train.shape[1:])}, got {tuple(X.shape[1:])}; prepare all splits in one way"
            )


def check_spread(X: torch.Tensor) -> None:
    """Raise ValueError if batch normalization would lose the samples `X_train` in rounding.

    X has shape (n, d), or (n, K h) for the patches of each sample.
    It has no units, but the squares of pre-activations have to be numbers, and their spread more
    than the rounding of their mean.
    """
    info = torch.finfo(X.dtype)
    mean = X.mean(0, dtype=torch.float64)
    squares = sum((rows.double() - mean).square().sum() for rows in X.split(_ROWS))
    spread, offset = math.sqrt(float(squares) / max(1, len(X))), float(mean.norm())
    least = max(info.tiny**_SAFE, 32 * info.eps * offset)  # the latter as `inverse_root` has it
    if not least < spread < info.tiny**-_SAFE:
        raise ValueError(
            f"X_train must vary by {least:.1e} to {info.tiny**-_SAFE:.1e} for batch normalization "
            f"in {X.dtype}, got a spread of {spread:.1e} about a mean of length {offset:.1e}; "
            "standardize it: batch normalization sees neither units nor offsets"
        )


def _augmentation(features: dict, sweep: Sweep, device: str | torch.device) -> Augmentation:
    image, found = features.get("image"), tuple(np.shape(features["X_train"]))
    if image is None or len(found) != 2 or found[1] != np.prod(image):
        size = "none" if image is None else " x ".join(str(int(side)) for side in image)
        raise ValueError(
            "flip and shift need whole images: `image`, their height, width and channels, and "
            f"X_train of shape (n, height * width * channels), got {size} and {found}; leave them "
            "out for patches, and prepare the data again if they were prepared without `image`"
        )
    return Augmentation(*map(int, image), flip=sweep.flip, shift=sweep.shift, device=device)


def _gates(features: dict, seeds: Sequence[int], h: int) -> dict[int, torch.Tensor]:
    """Return the gates of each seed, (h, P)."""
    gates = features.get("gates")
    if gates is not None:
        gates = as_tensor("gates", gates, None)
    if gates is None or gates.ndim != 3 or gates.shape[:2] != (len(seeds), h):
        found = "none" if gates is None else f"shape {tuple(gates.shape)}"
        raise ValueError(
            f"the convex program needs gates of shape ({len(seeds)}, {h}, P), one set for each "
            f"seed, got {found}; make the features by pipeline.designs.whitened"
        )
    return dict(zip(seeds, gates, strict=True))
