"""Random flips and shifts of training images, drawn again in each epoch.

An augmented image is a selection of the entries of its feature vector: a table has one row of
indices for each way to flip and shift, and augmenting a batch is one gather.
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
        Size of the images; their features are `(H, W, c)` flattened in C order.
    flip : bool
        Mirror half of the images, on average, from left to right.
    shift : int
        Move each image by up to this many pixels down or up and right or left, all moves equally
        likely. Pixels that come in at the border are 0, as in a random crop of zero-padded images.
    device : str or torch.device
        The device of the images.

    Raises
    ------
    ValueError
        If a shift can move the whole image out of view.
    """

    def __init__(
        self,
        height: int,
        width: int,
        channels: int,
        *,
        flip: bool = False,
        shift: int = 0,
        device: str | torch.device = "cpu",
    ) -> None:
        check_between("shift", shift, 0, min(height, width) - 1)
        pixels = torch.arange(height * width * channels, device="cpu").view(height, width, channels)
        # Pixels beyond the border have the index after the last entry of the image.
        framed = pad(pixels, (0, 0, shift, shift, shift, shift), value=pixels.numel())
        views = (framed, framed.flip(1)) if flip else (framed,)
        ways = product(views, range(2 * shift + 1), range(2 * shift + 1))
        rows = [view[i : i + height, j : j + width].flatten() for view, i, j in ways]
        self.table = torch.stack(rows).to(device)  # (ways, H W c)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Return the row of the table, drawn at random, for each of n images."""
        return torch.randint(len(self.table), (n,), generator=generator, device="cpu")

    def __call__(self, X: torch.Tensor, ways: torch.Tensor) -> torch.Tensor:
        """Return the images (m, H W c), each augmented by its row `ways` (m,) of the table."""
        return pad(X, (0, 1)).gather(1, self.table[ways])
