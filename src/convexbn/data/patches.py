"""Images as patch matrices, the factors of a convolution's kernels.

A convolution of images with m kernels of h = channels * height * width entries is the product of
the patch matrices `X_k` (n, h), one per position k = 1..K, with the kernels (h, m) (Ergen et al.
2022, the section on CNNs). BN over samples and positions normalizes over the K n rows of all
stacked patch matrices, so that `whiten(X.reshape(K * n, h))` whitens a CNN.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import unfold

from convexbn.calls import public
from convexbn.inputs import ArrayLike, as_tensor, check_between


@public
def patches(
    images: ArrayLike,
    size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
) -> np.ndarray | torch.Tensor:
    """Cut images into the patches that a convolution multiplies with its kernels.

    Parameters
    ----------
    images : array or tensor of floats, shape (n, channels, H, W)
    size : int or pair of int
        Height and width of the kernels.
    stride, padding : int or pair of int
        As in torch.nn.Conv2d: vertical and horizontal step, and zeros on each side.

    Returns
    -------
    array or tensor, shape (K, n, h)
        The patches, of the kind and dtype of `images`. Positions k run row by row, and the h
        entries of a patch run over channels, rows and columns, so that
        `patches(images, ...) @ weight.reshape(m, h).T` is the convolution with the kernels `weight`
        (m, channels, height, width).

    Raises
    ------
    ValueError
        If images are not a finite array of floats with four axes, a size or stride is below 1, a
        padding is below 0, or the kernel is larger than the padded image.
    """
    tensor = _checked(images)
    size, stride = _pair("size", size, 1), _pair("stride", stride, 1)
    padding = _pair("padding", padding, 0)
    _check_fit(tensor.shape[2:], size, padding)
    columns = unfold(tensor, size, stride=stride, padding=padding)  # (n, h, K)
    cut = columns.permute(2, 0, 1).contiguous()
    return cut if torch.is_tensor(images) else cut.numpy()


def _checked(images: ArrayLike) -> torch.Tensor:
    tensor = as_tensor("images", images, None, copy=False)
    if tensor.ndim != 4 or 0 in tensor.shape[1:] or not tensor.is_floating_point():
        raise ValueError(
            "images must be floats of shape (n, channels, H, W), only n may be 0, got "
            f"{tensor.dtype} of shape {tuple(tensor.shape)}; convert them, or add the missing axis"
        )
    return tensor


def _pair(name: str, value: int | Sequence[int], low: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one whole number or a pair of them, got {value!r}")
    for number in pair:
        check_between(name, number, low, 10**6)
    return pair[0], pair[1]


def _check_fit(image: Sequence[int], size: tuple[int, int], padding: tuple[int, int]) -> None:
    padded = tuple(side + 2 * zeros for side, zeros in zip(image, padding, strict=True))
    if size[0] > padded[0] or size[1] > padded[1]:
        raise ValueError(
            f"the kernel of size {size} is larger than the padded image of size {padded}; choose a "
            "smaller kernel, or more padding"
        )
