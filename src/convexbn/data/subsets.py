"""Random choices in a data set: the samples that it keeps, and the labels that are replaced."""

from collections.abc import Sequence

import numpy as np

from convexbn.inputs import ArrayLike, as_whole, check_between


def draw_stratified(
    labels: np.ndarray,
    sizes: dict[str, int | None],
    classes: Sequence[str],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Draw disjoint subsets in which each class has its share.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Positions in `classes`; -1 for samples that are never drawn.
    sizes : dict of str to (int or None)
        Size of each subset. Subsets are drawn in this order, except that a subset of size None, all
        remaining samples, is drawn last.
    classes : sequence of str
    generator : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray of int64
        The rows of each subset, in random order.

    Raises
    ------
    ValueError
        If a size is negative or not whole, two are None, or there are too few samples.
    """
    queues = [
        generator.permutation(np.flatnonzero(labels == label)) for label in range(len(classes))
    ]
    _check_sizes(sizes, {name: len(queue) for name, queue in zip(classes, queues, strict=True)})
    rows = {}
    for name in sorted(sizes, key=lambda name: sizes[name] is None):
        left = np.array([len(queue) for queue in queues])
        size = sizes[name]
        shares = apportion(int(left.sum()) if size is None else size, left)
        chosen = [queue[:share] for queue, share in zip(queues, shares, strict=True)]
        queues = [queue[share:] for queue, share in zip(queues, shares, strict=True)]
        rows[name] = generator.permutation(np.concatenate(chosen))
    return rows


def apportion(size: int, counts: ArrayLike) -> np.ndarray:
    """Split `size` among classes in proportion to `counts`, by largest remainder.

    All arithmetic is in whole numbers. Each share is `size * count / total` rounded down or up,
    hence at most `count` for `size <= total`; of equal remainders the first is rounded up.
    """
    counts = as_whole("counts", counts)
    shares, remainders = np.divmod(int(size) * counts, max(int(counts.sum()), 1))
    missing = int(size) - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return shares


def with_noise(
    labels: np.ndarray, share: float, C: int, generator: np.random.Generator
) -> np.ndarray:
    """Replace a share of the labels, each by one of the other classes, all equally likely.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Labels from 0 to C - 1.
    share : float
        In [0, 1): `round(share * n)` labels are replaced, of any class. From the same state of the
        generator, a larger share makes all replacements of a smaller one, and further ones.
    C : int
        Number of classes.
    generator : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (n,)

    Raises
    ------
    ValueError
        If the share is out of range.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise ValueError(
            f"label_noise must be a share of the training labels in [0, 1), got {share!r}; 0.2 "
            "replaces a fifth of them"
        )
    n = len(labels)
    replaced = generator.permutation(n)[: round(share * n)]
    noisy, steps = labels.copy(), generator.integers(1, C, size=n)
    noisy[replaced] = (labels[replaced] + steps[replaced]) % C
    return noisy


def _check_sizes(sizes: dict[str, int | None], counts: dict[str, int]) -> None:
    """Raise unless subsets of these sizes can be drawn from classes with these counts."""
    for name, size in sizes.items():
        if size is not None:
            check_between(name, size, int(name == "train"), np.inf)
    rest = [name for name, size in sizes.items() if size is None]
    if len(rest) > 1:
        raise ValueError(
            f"{' and '.join(rest)} are both null (all remaining samples) of the same images; give "
            "all but one of them a number"
        )
    asked, total = sum(size or 0 for size in sizes.values()), sum(counts.values())
    if asked > total:
        per_class = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise ValueError(
            f"{' + '.join(sizes)} ask for {asked} samples, but there are {total} ({per_class}); "
            "ask for fewer"
        )
