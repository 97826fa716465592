"""Random images: their spectrum, their whitened design, and the signal in their classes."""

import pytest
import torch

from convexbn.experiments.benchmark.random_images import POWER, RandomImages
from convexbn.whitening import whiten

n, d, C = 400, 12, 4


@pytest.fixture(scope="module")
def images():
    return RandomImages.draw(n, d, C, "cpu", seed=3)


def test_singular_values_fall_as_said(images):
    X = images.pixels().double()
    sigma = torch.linalg.svdvals(X - X.mean(dim=0))
    falling = torch.arange(1, d + 1).double() ** -POWER
    # The pixels are rounded to float32.
    torch.testing.assert_close(sigma / sigma[0], falling, rtol=1e-5, atol=0)
    assert X.square().mean() == pytest.approx(1, rel=1e-5)


def test_design_is_that_of_the_whitening(images):
    U = images.whitened(5)
    # Sums of 400 terms in float64.
    torch.testing.assert_close(U.T @ U, torch.eye(6, dtype=U.dtype), rtol=0, atol=1e-13)
    direct = torch.as_tensor(whiten(images.pixels(), rank=5).U)
    cosines = torch.linalg.svdvals(U.T @ direct)
    torch.testing.assert_close(cosines, torch.ones(6, dtype=U.dtype), rtol=0, atol=1e-5)


def test_classes_are_in_the_leading_directions_and_not_without_noise(images):
    """Least squares on half of the images finds them in the other half, better than by chance."""
    X, Y = images.pixels().double(), images.targets
    half = n // 2
    found = torch.linalg.lstsq(X[:half], Y[:half] - Y[:half].mean(dim=0)).solution
    share = ((X[half:] @ found).argmax(dim=1) == images.labels[half:]).double().mean()
    most = images.labels.bincount().max() / n
    # Four standard errors of 200 images above the largest class.
    assert most + 4 * (0.25 / half) ** 0.5 < share < 0.95
    assert set(images.labels.tolist()) == {*range(C)}


def test_more_pixels_than_images_are_refused():
    with pytest.raises(ValueError, match="more images than pixels, got n = 5 and d = 5; draw more"):
        RandomImages.draw(5, 5, 2, "cpu")
