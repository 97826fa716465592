"""Images at random flipped from left to right and shifted, anew in each epoch.

An augmented image is a choice of entries of its feature vector, so that images need not be taken
apart: a small table has a row for each way to flip and shift, and a batch takes one gather.
"""

from itertools import product

import torch
from torch.nn.functional import pad

from convexbn.inputs import check_between


class Augmentation:
    """All flips and shifts of images of one size.

    Parameters
    ----------
    height, width, channels : int
        Of the images, whose features are `(H, W, c)` flattened in C order.
    flip : bool
        Mirror half of the images, on average.
    shift : int
        Move each by up to this many pixels down or up and right or left, all moves equally likely.
        What comes in at the border is 0, as in a random crop of zero-padded images.
    device : str or torch.device
        Where the images lie.

    Raises
    ------
    ValueError
        If a shift may leave nothing of an image.
    """

    def __init__(self, height, width, channels, *, flip=False, shift=0, device="cpu"):
        check_between("shift", shift, 0, min(height, width) - 1)
        pixels = torch.arange(height * width * channels).view(height, width, channels)
        # Beyond the border lies an entry of its own, after those of the image.
        framed = pad(pixels, (0, 0, shift, shift, shift, shift), value=pixels.numel())
        views = (framed, framed.flip(1)) if flip else (framed,)
        ways = product(views, range(2 * shift + 1), range(2 * shift + 1))
        rows = [view[i : i + height, j : j + width].flatten() for view, i, j in ways]
        self.table = torch.stack(rows).to(device)  # (ways, H W c)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Return for each of n images how it is augmented: a row of the table."""
        return torch.randint(len(self.table), (n,), generator=generator)

    def __call__(self, X: torch.Tensor, ways: torch.Tensor) -> torch.Tensor:
        """Return images (m, H W c) augmented in these ways (m,)."""
        return pad(X, (0, 1)).gather(1, self.table[ways])
