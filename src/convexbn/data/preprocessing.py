"""Features from images: subsets, colour, pooling, scaling, patches, label noise, targets.

A feature vector is an image flattened row by row, `(H, W, c)` in C order: the channels of pixel
(0, 0), then the channels of pixel (0, 1), and so on. For a convolutional network the image is cut
into patches instead (:mod:`convexbn.data.patches`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convexbn.data.images import Images, composed
from convexbn.data.subsets import draw_stratified, with_noise
from convexbn.inputs import (
    ArrayLike,
    as_array,
    as_whole,
    check_between,
    check_choice,
    check_same_length,
)

COLORS = ("rgb", "gray")
NORMALIZATIONS = ("image", "pixel", "none")
TARGETS = ("one_hot", "plus_minus")

# Luma of red, green and blue: Recommendation ITU-R BT.601, section 2.5.1.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class Features:
    """The data of solvers and networks.

    Attributes
    ----------
    X_train, X_validation, X_test : ndarray of float32, shape (n, d), or (K, n, h) in patches
    Y_train : ndarray of float32, shape (n, C)
        One-hot, or +-1; a single column (n, 1) for +-1 and two classes, +1 for the second.
    labels_train, labels_validation, labels_test : ndarray of int64, shape (n,)
        Positions in the requested classes, 0 to C - 1. Label noise is only in `labels_train`, and
        so in `Y_train`.
    image : ndarray of int64, shape (3,)
        Height, width and channels of the whole images.
    """

    X_train: np.ndarray
    Y_train: np.ndarray
    labels_train: np.ndarray
    X_validation: np.ndarray
    labels_validation: np.ndarray
    X_test: np.ndarray
    labels_test: np.ndarray
    image: np.ndarray


def prepare(
    images: Images,
    *,
    train: int | None,
    validation: int | None,
    test: int | None,
    classes: Sequence[str] | None = None,
    color: str = "rgb",
    pool: int = 1,
    normalize: str = "image",
    patches: dict[str, int] | None = None,
    label_noise: float = 0.0,
    targets: str = "one_hot",
    draw: int = 0,
    seed: int,
) -> Features:
    """Draw stratified subsets of a data set and turn them into features and targets.

    Training and validation samples are disjoint and come from the training images. Test samples
    come from the official test images or, if there are none, from the rest of the training images.
    Subsets are drawn in the order validation, test, train, and a subset of all remaining samples
    last: another number of training samples leaves the other subsets as they are, and of each class
    a smaller training set is part of a larger one, to within one sample. In each subset the classes
    have their share of the samples that remain at that moment, to within one sample. Samples of a
    subset are in random order, so its first k are a random sample too.

    Parameters
    ----------
    images : convexbn.data.images.Images
    train, validation, test : int or None
        Number of samples. None for all remaining samples, in at most one of the subsets that are
        drawn from the same images.
    classes : list of str, optional
        Keep only these classes, labelled 0 to C - 1 in this order; None for all classes.
    color : {"rgb", "gray"}
        "gray" is the luma of ITU-R BT.601. "rgb" keeps the channels (gray stays gray).
    pool : int
        Average blocks of pool x pool pixels.
    normalize : {"image", "pixel", "none"}
        After intensities are scaled to [0, 1], "image" subtracts from each image its mean and
        divides by its standard deviation; "pixel" does so for each feature with the mean and
        standard deviation over the training subset. Constant images or features become 0.
    patches : dict, optional
        `size`, `stride` and `padding` of :func:`convexbn.data.patches.patches`, which cuts the
        normalized images at the end, padded by zeros. None leaves them whole.
    label_noise : float
        Share, in [0, 1), of the training labels that are replaced by other classes, see
        :func:`convexbn.data.subsets.with_noise`. The choice of samples and the labels of validation
        and test do not depend on it.
    targets : {"one_hot", "plus_minus"}
    draw : int
        From 0: each is another random division of the training images, and another label noise. The
        official test images are the same in all of them.
    seed : int

    Raises
    ------
    ValueError
        For an unknown class or option, an empty class, a pool that does not divide the height and
        width, patches larger than the image, or more samples than the source has.
    """
    check_choice("color", color, COLORS)
    check_choice("normalize", normalize, NORMALIZATIONS)
    check_choice("targets", targets, TARGETS)
    check_between("seed", seed, 0, 2**32 - 1)
    check_between("draw", draw, 0, 2**32 - 1)
    _check_pool(pool, images.train_images.shape[1:3])
    classes = _check_classes(classes, images.classes)
    sizes = {"validation": validation, "test": test, "train": train}  # in the order of drawing
    *drawing, noise = _generators(seed, draw)
    subsets = _draw_subsets(images, sizes, classes, drawing)
    labels = {name: labels for name, (_, labels) in subsets.items()}
    labels["train"] = with_noise(labels["train"], label_noise, len(classes), noise)
    _check_no_empty_class(labels["train"], classes)
    X = {
        name: _intensities(pixels, images.white, color, pool)
        for name, (pixels, _) in subsets.items()
    }
    _normalize(X, normalize)
    height, width = (side // pool for side in images.train_images.shape[1:3])
    image = np.array([height, width, X["train"].shape[1] // (height * width)])
    if patches is not None:
        X = {name: _in_patches(subset, image, patches) for name, subset in X.items()}
    return Features(
        image=image,
        Y_train=_encode(labels["train"], len(classes), targets),
        **{f"X_{name}": X[name] for name in sizes},
        **{f"labels_{name}": labels[name] for name in sizes},
    )


def targets_of(labels: ArrayLike, features: dict) -> np.ndarray:
    """Return the targets (m, C) of labels (m,): the targets that their classes have in training.

    Parameters
    ----------
    labels : array of int, shape (m,)
    features : dict of arrays
        The features artifact; its `Y_train` (n, C) and `labels_train` (n,) are used. A class
        without a training sample gets NaN.
    """
    labels, known = as_whole("labels", labels), as_whole("labels_train", features["labels_train"])
    Y = as_array("Y_train", features["Y_train"], None, copy=False)
    check_same_length("labels_train", known, "Y_train", Y)
    classes = 1 + max(known.max(), labels.max(initial=0))
    targets = np.full((classes, Y.shape[1]), np.nan, dtype=Y.dtype)
    targets[known] = Y
    return targets[labels]


def _generators(seed: int, draw: int) -> list[np.random.Generator]:
    """Return the generators of the division, of the official test subset and of the noise.

    Each has its own: neither the official test subset nor the noise changes with the sizes of the
    other subsets, nor that test subset with the draw.
    """
    keys: list[tuple[int, ...]] = [(0, draw), (1,), (2, draw)]
    return [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)) for key in keys]


def _draw_subsets(
    images: Images,
    sizes: dict[str, int | None],
    classes: list[str],
    generators: Sequence[np.random.Generator],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the images and labels of each subset; official splits are drawn separately."""
    if len(images.test_labels):
        sources = [
            (images.train_images, images.train_labels, ["validation", "train"]),
            (images.test_images, images.test_labels, ["test"]),
        ]
    else:
        sources = [(images.train_images, images.train_labels, list(sizes))]
    subsets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for (pixels, labels, names), generator in zip(sources, generators, strict=False):
        labels = _relabel(labels, images.classes, classes)
        rows = draw_stratified(labels, {name: sizes[name] for name in names}, classes, generator)
        subsets |= {name: (pixels[chosen], labels[chosen]) for name, chosen in rows.items()}
    return subsets


def _check_pool(pool: int, image_size: tuple[int, int]) -> None:
    height, width = image_size
    check_between("pool", pool, 1, min(height, width))
    if height % pool or width % pool:
        raise ValueError(
            f"pool must divide the height and width of the images, {height} x {width}, got {pool}; "
            "choose a common divisor"
        )


def _check_classes(wanted: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Return the classes to keep, in order, as the data set writes them."""
    forms = {composed(name): name for name in known}
    wanted = [
        forms.get(composed(str(name)), name) for name in (known if wanted is None else wanted)
    ]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(
            f"classes {unknown} are unknown; this data set has {', '.join(map(repr, known))}"
        )
    if len(wanted) < 2 or len(set(wanted)) < len(wanted):
        raise ValueError(f"classes must be at least two different names, got {wanted}")
    return wanted


def _relabel(labels: np.ndarray, known: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Turn positions in `known` into positions in `wanted`, -1 for classes left out."""
    position = np.full(len(known), -1, dtype=np.int64)
    position[[known.index(name) for name in wanted]] = np.arange(len(wanted))
    return position[labels]


def _check_no_empty_class(labels: np.ndarray, classes: Sequence[str]) -> None:
    empty = np.setdiff1d(np.arange(len(classes)), labels)
    if len(empty):
        raise ValueError(
            f"every class needs a training sample, but {len(labels)} samples hold none of "
            f"{', '.join(classes[label] for label in empty)}; ask for more samples, or leave these "
            "classes out with classes"
        )


def _intensities(images: np.ndarray, white: int, color: str, pool: int) -> np.ndarray:
    """Turn uint8 (n, H, W, c) into features in [0, 1], float32 (n, d)."""
    if color == "gray" and images.shape[-1] == 3:
        # Channel by channel: a matrix product may round equal pixels differently.
        images = sum(images[..., c : c + 1] * weight for c, weight in enumerate(_LUMA))
    blocks = (images[:, i::pool, j::pool] for i in range(pool) for j in range(pool))
    total = next(blocks).astype(np.float32, order="C")  # (n, H / pool, W / pool, c)
    for block in blocks:
        total += block
    total /= np.float32(white * pool**2)
    return total.reshape(len(images), math.prod(total.shape[1:]))


def _normalize(X: dict[str, np.ndarray], normalize: str) -> None:
    """Normalize the subsets `X` of shape (n, d), in place.

    Means are taken in float64, so that constant images or features become exactly 0.
    """
    if normalize == "image":
        for subset in X.values():
            subset -= subset.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
            subset *= _inverse_deviation(subset, axis=1)
    elif normalize == "pixel":
        mean = X["train"].mean(axis=0, dtype=np.float64).astype(np.float32)
        for subset in X.values():
            subset -= mean
        scale = _inverse_deviation(X["train"], axis=0)
        for subset in X.values():
            subset *= scale


def _inverse_deviation(centred: np.ndarray, axis: int) -> np.ndarray:
    """Return 1 / standard deviation along an axis of centred data, and 0 where that is 0."""
    summed = {0: "ij,ij->j", 1: "ij,ij->i"}[axis]
    squares = np.einsum(summed, centred, centred, dtype=np.float64)
    deviation = np.expand_dims(np.sqrt(squares / centred.shape[axis]), axis)
    inverse = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return inverse.astype(np.float32)


def _in_patches(X: np.ndarray, image: np.ndarray, view: dict[str, int]) -> np.ndarray:
    """Cut feature vectors (n, d) of images of this size into patches (K, n, h)."""
    from convexbn.data.patches import patches  # here, as whole images do not need torch

    images = X.reshape(len(X), *image).transpose(0, 3, 1, 2)
    return np.asarray(patches(images, **view))


def _encode(labels: np.ndarray, C: int, targets: str) -> np.ndarray:
    """Turn labels (n,) into targets (n, C), or (n, 1) for +-1 and two classes."""
    hot = np.eye(C, dtype=np.float32)[labels]
    if targets == "one_hot":
        return hot
    signs = 2 * hot - 1
    return np.ascontiguousarray(signs[:, 1:]) if C == 2 else signs
