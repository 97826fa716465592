"""Patches and convolutional BN networks against torch's Conv2d, BatchNorm2d and known pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from convexbn.data.patches import patches
from convexbn.networks.architectures import ConvolutionalNetwork
from convexbn.networks.two_layer import BNNetwork
from convexbn.whitening import whiten

# Float64 results of the same sums in another order: some hundred roundings of 1e-16.
ROUNDING = {"rtol": 1e-11, "atol": 1e-12}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def convolutions(draw_):
    """Images' shape, and size, stride and padding of kernels that fit them."""
    n, channels, height, width = (draw_(st.integers(1, k)) for k in (4, 3, 7, 7))
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    padding, stride = draw_(pair), draw_(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = tuple(
        draw_(st.integers(1, side + 2 * zeros))
        for side, zeros in zip((height, width), padding, strict=True)
    )
    return (n, channels, height, width), size, stride, padding


@given(convolutions())
def test_kernels_on_patches_are_a_convolution(drawn):
    shape, size, stride, padding = drawn
    images, kernels = draw(*shape), draw(5, shape[1], *size, seed=1)
    expected = nn.functional.conv2d(images, kernels, stride=stride, padding=padding)
    outputs = patches(images, size, stride, padding) @ kernels.reshape(5, -1).T  # (K, n, 5)
    torch.testing.assert_close(outputs, expected.flatten(2).permute(2, 0, 1), **ROUNDING)


def test_patches_have_the_known_pixels():
    image = np.arange(24.0).reshape(1, 2, 3, 4)
    cut = patches(image, 2)
    assert cut.shape == (6, 1, 8)
    # Second position of the first row: columns 1 and 2 of rows 0 and 1, of each channel.
    assert cut[1, 0].tolist() == [1, 2, 5, 6, 13, 14, 17, 18]
    assert cut[4, 0].tolist() == [5, 6, 9, 10, 17, 18, 21, 22]


def test_no_images_have_no_patches():
    assert patches(np.ones((0, 3, 4, 5)), 2).shape == (12, 0, 12)


def test_padding_is_zeros_and_a_pair_is_vertical_first():
    image = np.arange(1.0, 7.0).reshape(1, 1, 2, 3)
    assert patches(image, 1, padding=(1, 0))[:, 0, 0].tolist() == [0, 0, 0, *range(1, 7), 0, 0, 0]
    assert patches(image, (1, 2), stride=(1, 2))[:, 0].tolist() == [[1, 2], [4, 5]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kind_and_dtype_stay(dtype):
    image = np.ones((2, 1, 3, 3), dtype=dtype)
    assert isinstance(patches(image, 2), np.ndarray)
    assert patches(image, 2).dtype == dtype
    assert patches(torch.as_tensor(image), 2).dtype == getattr(torch, dtype)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 6}, r"kernel of size \(6, 6\) is larger than the padded image of size \(4, 5\)"),
        ({"size": (5, 1)}, "larger than the padded image"),
        ({"size": 0}, "size must be from 1"),
        ({"size": (2, 2, 2)}, "size must be one whole number or a pair"),
        ({"size": 2.0}, "size must be a whole number"),
        ({"stride": 0}, "stride must be from 1"),
        ({"padding": -1}, "padding must be from 0"),
        ({"images": np.ones((2, 4, 5))}, r"shape \(n, channels, H, W\).*\(2, 4, 5\)"),
        ({"images": np.ones((2, 0, 4, 5))}, "only n may be 0"),
        ({"images": np.ones((2, 1, 4, 5), dtype=np.uint8)}, "images must be floats.*uint8"),
        ({"images": np.full((2, 1, 4, 5), np.nan)}, "images must be finite"),
    ],
)
def test_patches_refuse_what_cannot_be(change, message):
    with pytest.raises(ValueError, match=message):
        patches(**{"images": np.ones((2, 1, 4, 5)), "size": 2} | change)


def torch_cnn(network, channels, size):
    """The same network from torch's modules: Conv2d, BatchNorm2d, ReLU; then a sum and a matrix."""
    top = network.top
    m = top.w.shape[1]
    conv = nn.Conv2d(channels, m, size, bias=False, dtype=torch.float64)
    conv.load_state_dict({"weight": top.w.T.reshape(m, channels, size, size)})
    # torch refuses eps = 0; added to a variance of order 1 this is 0.
    norm = nn.BatchNorm2d(m, eps=1e-300, dtype=torch.float64)
    norm.load_state_dict({"weight": top.weight, "bias": top.bias}, strict=False)
    pool = {"sum": torch.sum, "average": torch.mean}[network.pooling]
    return lambda images: pool(torch.relu(norm(conv(images))), dim=(2, 3)) @ top.output, norm


@pytest.mark.parametrize("pooling", ["sum", "average"])
def test_convolutional_network_is_torchs_with_batch_norm_2d(pooling):
    n, channels, size, m = 6, 2, 3, 5
    images, new = draw(n, channels, 5, 6), draw(4, channels, 5, 6, seed=5)
    X = patches(images, size)
    K, _, h = X.shape
    top = BNNetwork(h, m, 3, K * n, torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        top.weight.add_(draw(m, seed=2))
        top.bias.add_(draw(m, seed=3))
    network = ConvolutionalNetwork(top, K, pooling)
    layers, norm = torch_cnn(network, channels, size)
    torch.testing.assert_close(network(X), layers(images), **ROUNDING)

    network.set_statistics(X)
    running = {"running_mean": top.mean, "running_var": top.variance}
    norm.load_state_dict(running, strict=False)
    norm.eval()
    scores = network.predict(patches(new, size))
    torch.testing.assert_close(scores, layers(new), **ROUNDING)


def test_whitened_patches_are_what_batch_norm_2d_makes_of_orthogonal_kernels():
    """BN over samples and positions: U_r's columns have mean 0 and norm 1 over all K n rows."""
    images, size = draw(5, 1, 4, 4), 2
    X = patches(images, size)
    K, n, h = X.shape
    whitening = whiten(X.reshape(K * n, h))
    conv = nn.Conv2d(1, h, size, bias=False, dtype=torch.float64)
    conv.load_state_dict({"weight": torch.as_tensor(whitening.V.T).reshape(h, 1, size, size)})
    norm = nn.BatchNorm2d(h, eps=1e-300, affine=False, dtype=torch.float64)
    normalized = norm(conv(images)).flatten(2).permute(2, 0, 1) / (K * n) ** 0.5  # (K, n, h)
    U = whitening.U.reshape(K, n, -1)
    # Division by the smallest singular value magnifies rounding by the condition number, about 10.
    np.testing.assert_allclose(U[..., :-1], normalized.detach().numpy(), atol=1e-11)


@pytest.mark.parametrize(
    "given_as",
    [
        lambda A: A[..., ::-1].copy()[..., ::-1],
        lambda A: A.astype(">f8"),
        lambda A: A.astype(object),
        lambda A: A.tolist(),
        lambda A: torch.tensor(A, requires_grad=True),
        lambda A: np.broadcast_to(A[:1], A.shape),
    ],
)
def test_images_of_any_kind_are_cut(given_as):
    images = np.broadcast_to(np.random.default_rng(0).standard_normal((1, 2, 4, 5)), (3, 2, 4, 5))
    np.testing.assert_array_equal(patches(given_as(images), 2), patches(images.copy(), 2))


def test_patches_are_not_the_callers_memory():
    images = np.ones((2, 1, 3, 3))
    cut = patches(images, 1)
    images[:] = 0
    assert (cut == 1).all()
