"""Preprocessing: subsets that are what they say, and features computed by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare, targets_of
from convexbn.data.sources import load_images
from convexbn.data.subsets import apportion, draw_stratified, with_noise

# float32 rounds to 6e-8; features are of size 1 and go through a handful of operations.
TOLERANCE = 1e-6

counts_per_class = st.lists(st.integers(0, 40), min_size=1, max_size=6)


def make_images(train, labels, test=None, test_labels=(), classes="abc", white=255):
    """Wrap arrays of uint8 images (n, H, W, c)."""
    train = np.asarray(train, dtype=np.uint8)
    test = train[:0] if test is None else np.asarray(test, dtype=np.uint8)
    labels, test_labels = (np.asarray(one, dtype=np.int64) for one in (labels, test_labels))
    return Images(train, labels, test, test_labels, tuple(classes), white)


def numbered(counts, first=0):
    """Make 1 x 2 gray images that spell their own number, and their labels, shuffled."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.random.default_rng(5).permutation(labels)
    numbers = first + np.arange(len(labels))
    return np.stack([numbers // 256, numbers % 256], axis=1).reshape(-1, 1, 2, 1), labels


def numbers_of(X):
    """Read the numbers of :func:`numbered` images from features that are only scaled."""
    pixels = np.rint(X * 255).astype(int)
    return 256 * pixels[:, 0] + pixels[:, 1]


def one_image(image, **options):
    """Prepare one image of known pixels (the others are black) and return its features."""
    image = np.asarray(image, dtype=np.uint8)
    images = make_images([image, np.zeros_like(image)], [0, 1], classes="ab")
    features = prepare(images, train=None, validation=0, test=0, seed=0, **options)
    return features.X_train[features.labels_train == 0][0]


# --- subsets --------------------------------------------------------------------------------------


@given(counts_per_class, st.data())
def test_apportion_rounds_the_exact_shares(counts, data):
    total = sum(counts)
    size = data.draw(st.integers(0, total))
    shares = apportion(size, counts)
    assert shares.sum() == size
    for share, count in zip(shares, counts, strict=True):
        assert abs(int(share) * total - size * count) < max(total, 1)
        assert share <= count


def test_apportion_gives_what_is_left_to_the_largest_remainders():
    # Exact shares of 7 among 5 : 3 : 2 are 3.5, 2.1, 1.4.
    assert apportion(7, [5, 3, 2]).tolist() == [4, 2, 1]


@given(counts_per_class.filter(any), st.integers(0, 2**31), st.data())
def test_subsets_are_disjoint_and_stratified(counts, seed, data):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train = data.draw(st.integers(1, len(labels)))
    validation = data.draw(st.integers(0, len(labels) - train))
    sizes = {"train": train, "validation": validation, "test": None}
    rows = draw_stratified(labels, sizes, "abcdef"[: len(counts)], np.random.default_rng(seed))
    assert {name: len(chosen) for name, chosen in rows.items()} == sizes | {
        "test": len(labels) - train - validation
    }
    assert sorted(np.concatenate(list(rows.values()))) == list(range(len(labels)))
    left = np.array(counts)
    for name in ("train", "validation"):
        drawn = np.bincount(labels[rows[name]], minlength=len(counts))
        assert (np.abs(drawn - len(rows[name]) * left / max(left.sum(), 1)) < 1).all()
        left = left - drawn


def test_subsets_of_one_split_are_disjoint_and_reproducible():
    pixels, labels = numbered([150, 100, 50])
    images = make_images(pixels, labels)

    def draw(seed, **sizes):
        sizes = {"train": 60, "validation": 30, "test": 90} | sizes
        return prepare(images, normalize="none", seed=seed, **sizes)

    first = draw(0)
    subsets = [numbers_of(X) for X in (first.X_train, first.X_validation, first.X_test)]
    assert [len(subset) for subset in subsets] == [60, 30, 90]
    assert len(set(np.concatenate(subsets))) == 180
    np.testing.assert_array_equal(first.labels_train, labels[subsets[0]])
    np.testing.assert_array_equal(first.labels_validation, labels[subsets[1]])
    np.testing.assert_array_equal(first.labels_test, labels[subsets[2]])
    assert np.bincount(first.labels_train).tolist() == [30, 20, 10]
    for name, value in vars(draw(0)).items():
        np.testing.assert_array_equal(value, getattr(first, name))
    assert set(numbers_of(draw(1).X_train)) != set(subsets[0])
    # Classes are mixed: in order only by a chance of 30! 20! 10! in 60!.
    assert (np.diff(first.labels_train) < 0).any()


def test_none_takes_all_that_the_others_leave():
    pixels, labels = numbered([20, 20, 20])
    images = make_images(pixels, labels)
    features = prepare(images, train=None, validation=10, test=5, normalize="none", seed=0)
    subsets = [features.X_train, features.X_validation, features.X_test]
    assert [len(X) for X in subsets] == [45, 10, 5]
    assert sorted(numbers_of(np.concatenate(subsets))) == list(range(60))


def test_official_test_images_are_the_test_set_whatever_the_training_size():
    pixels, labels = numbered([20, 20, 20])
    test_pixels, test_labels = numbered([9, 9, 9], first=1000)
    images = make_images(pixels, labels, test_pixels, test_labels)

    def draw(**sizes):
        return prepare(images, normalize="none", seed=0, **sizes)

    small, large = draw(train=6, validation=6, test=12), draw(train=50, validation=10, test=12)
    assert numbers_of(small.X_test).min() >= 1000
    np.testing.assert_array_equal(small.X_test, large.X_test)
    assert numbers_of(large.X_validation).max() < 1000
    everything = draw(train=None, validation=0, test=None)
    assert sorted(numbers_of(everything.X_train)) == list(range(60))
    assert sorted(numbers_of(everything.X_test)) == list(range(1000, 1027))
    assert everything.X_validation.shape == (0, 2)


def official(test: bool) -> Images:
    """Return numbered images of three classes, with test images of their own (from 1000) or not."""
    pixels, labels = numbered([31, 20, 13])
    return make_images(pixels, labels, *(numbered([9, 9, 9], first=1000) if test else ()))


@pytest.mark.parametrize("test", [True, False], ids=["official", "own"])
def test_the_number_of_training_images_changes_no_other_subset(test):
    images = official(test)
    sizes = {"validation": 11, "test": 14, "normalize": "none", "seed": 4}
    drawn = [prepare(images, train=train, **sizes) for train in (*range(4, 40), None)]
    first = drawn[0]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other.X_validation, first.X_validation)
        np.testing.assert_array_equal(other.X_test, first.X_test)
        np.testing.assert_array_equal(other.labels_test, first.labels_test)
    for small, large in pairwise(drawn):
        for label in range(3):
            fewer, more = (
                set(numbers_of(some.X_train[some.labels_train == label])) for some in (small, large)
            )
            # Each set is the head of one queue. Shares are rounded, so that of a class may also
            # fall by one as the whole grows.
            assert fewer <= more or (more < fewer and len(fewer) == len(more) + 1)
    assert len(drawn[-1].X_train) == 64 - 11 - (0 if test else 14)


def test_nested_training_sets_hold_each_other_where_shares_are_whole():
    images = make_images(*numbered([40, 40, 20]))
    sizes = {"validation": 10, "test": 0, "normalize": "none", "seed": 0}
    few, some, all_left = (
        set(numbers_of(prepare(images, train=train, **sizes).X_train)) for train in (10, 50, None)
    )
    assert few < some < all_left


def test_another_draw_divides_the_same_training_images_anew():
    images = official(True)

    def draw(number, **options):
        sizes = {"train": 40, "validation": 24, "test": 14, "normalize": "none", "seed": 2}
        return prepare(images, draw=number, **sizes | options)

    first, second, third = (draw(number) for number in range(3))
    for one, other in ((first, second), (first, third), (second, third)):
        assert set(numbers_of(one.X_train)) != set(numbers_of(other.X_train))
        assert set(numbers_of(one.X_validation)) != set(numbers_of(other.X_validation))
        np.testing.assert_array_equal(one.X_test, other.X_test)
    for one in (first, second, third):  # the same 64 images, divided
        everything = np.concatenate([one.X_train, one.X_validation])
        assert sorted(numbers_of(everything)) == list(range(64))
        assert np.bincount(one.labels_train).tolist() == np.bincount(first.labels_train).tolist()
    np.testing.assert_array_equal(draw(1).X_train, second.X_train)
    np.testing.assert_array_equal(
        prepare(images, train=40, validation=24, test=14, normalize="none", seed=2).X_train,
        first.X_train,
    )
    # What is replaced by noise is drawn anew, too.
    clean = [draw(number).labels_train for number in range(2)]
    noisy = [draw(number, label_noise=0.5).labels_train for number in range(2)]
    assert set(np.flatnonzero(clean[0] != noisy[0])) != set(np.flatnonzero(clean[1] != noisy[1]))


def test_a_draw_of_images_without_test_images_divides_them_into_all_three():
    images = official(False)
    sizes = {"train": 30, "validation": 14, "test": 20, "normalize": "none", "seed": 2}
    first, second = (prepare(images, draw=number, **sizes) for number in range(2))
    assert set(numbers_of(first.X_test)) != set(numbers_of(second.X_test))
    for one in (first, second):
        parts = np.concatenate([one.X_train, one.X_validation, one.X_test])
        assert sorted(numbers_of(parts)) == list(range(64))


def test_classes_are_kept_and_numbered_in_the_order_asked_for():
    pixels, labels = numbered([10, 10, 10])
    images = make_images(pixels, labels)
    features = prepare(
        images, train=None, validation=0, test=0, classes=["c", "a"], normalize="none", seed=0
    )
    original = labels[numbers_of(features.X_train)]
    np.testing.assert_array_equal(original, np.array([2, 0])[features.labels_train])
    assert len(original) == 20


# --- features -------------------------------------------------------------------------------------

# Height 2, width 4, and not linear, so that a mistaken axis shows; green and blue are constant.
REDS = [0, 4, 16, 36, 64, 100, 144, 196]
COLORED = np.dstack([np.reshape(REDS, (2, 4)), np.full((2, 4), 50), np.full((2, 4), 90)])


def test_features_are_rows_then_columns_then_channels():
    x = one_image(COLORED, normalize="none")
    expected = [value / 255 for red in REDS for value in (red, 50, 90)]
    np.testing.assert_allclose(x, expected, atol=TOLERANCE)
    assert x.dtype == np.float32


def test_white_sets_the_scale():
    image = np.array([[[4], [16]]])
    images = make_images([image, image], [0, 1], classes="ab", white=16)
    features = prepare(images, train=2, validation=0, test=0, normalize="none", seed=0)
    np.testing.assert_array_equal(features.X_train, [[0.25, 1.0]] * 2)


def test_gray_is_the_luma_of_bt601():
    x = one_image(COLORED, color="gray", normalize="none")
    luma = [(0.299 * red + 0.587 * 50 + 0.114 * 90) / 255 for red in REDS]
    np.testing.assert_allclose(x, luma, atol=TOLERANCE)


def test_pool_averages_square_blocks_of_each_channel():
    x = one_image(COLORED, pool=2, normalize="none")
    # Reds 0 4 16 36 over 64 100 144 196: blocks (0, 4, 64, 100) and (16, 36, 144, 196).
    np.testing.assert_allclose(x * 255, [42, 50, 90, 98, 50, 90], atol=255 * TOLERANCE)


def test_image_normalization_by_hand():
    # Mean 50, deviations -30, -10, 10, 30, standard deviation sqrt(500).
    x = one_image(np.array([20, 40, 60, 80]).reshape(2, 2, 1), normalize="image")
    np.testing.assert_allclose(x, np.array([-30, -10, 10, 30]) / np.sqrt(500), atol=TOLERANCE)


def test_pixel_normalization_uses_the_training_subset_alone():
    # Feature 0 varies in training (10, 30), feature 1 does not; test images differ in both.
    train = np.array([[10, 5], [30, 5]]).reshape(2, 1, 2, 1)
    test = np.array([[50, 5], [20, 99]]).reshape(2, 1, 2, 1)
    images = make_images(train, [0, 1], test, [0, 1], classes="ab")
    features = prepare(images, train=2, validation=0, test=2, normalize="pixel", seed=0)
    for X, labels, expected in (
        (features.X_train, features.labels_train, [[-1, 0], [1, 0]]),
        (features.X_test, features.labels_test, [[3, 0], [0, 0]]),
    ):
        np.testing.assert_allclose(X[np.argsort(labels)], expected, atol=TOLERANCE)


@pytest.mark.parametrize("color", ["rgb", "gray"])
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 255), st.sampled_from([1, 2, 3]))
def test_constant_images_and_features_become_zeros(color, level, pool):
    flat = np.full((4, 6, 6, 3), level)
    images = make_images(flat, [0, 0, 1, 1], classes="ab")
    for normalize in ("image", "pixel"):
        features = prepare(
            images,
            train=2,
            validation=2,
            test=0,
            color=color,
            pool=pool,
            normalize=normalize,
            seed=0,
        )
        assert not features.X_train.any()
        assert not features.X_validation.any()


def test_normalized_digits_have_mean_zero_and_deviation_one():
    digits = load_images("digits")
    sizes = {"train": 1000, "validation": 300, "test": None}
    by_image = prepare(digits, normalize="image", seed=0, **sizes)
    for X in (by_image.X_train, by_image.X_validation, by_image.X_test):
        np.testing.assert_allclose(X.mean(axis=1), 0, atol=TOLERANCE)
        np.testing.assert_allclose(X.std(axis=1), 1, atol=TOLERANCE)
    by_pixel = prepare(digits, normalize="pixel", seed=0, **sizes).X_train.astype(np.float64)
    varies = by_pixel.any(axis=0)
    assert 50 < varies.sum() < 64  # the corners of the digits are always black
    np.testing.assert_allclose(by_pixel.mean(axis=0), 0, atol=TOLERANCE)
    np.testing.assert_allclose(by_pixel.std(axis=0)[varies], 1, atol=TOLERANCE)


def test_cifar_features_are_the_known_pixels(cifar_dir):
    images = load_images("cifar10", folder=cifar_dir)
    few = {"train_images": images.train_images[:3000], "train_labels": images.train_labels[:3000]}
    features = prepare(
        replace(images, **few), train=None, validation=0, test=0, normalize="none", seed=0
    )
    frog = np.array([59, 62, 63, 43, 46, 45]) / 255  # pixels (0, 0) and (0, 1)
    found = (np.abs(features.X_train[:, :6] - frog) < 1e-3).all(axis=1)
    assert 6 in features.labels_train[found]
    by_image = prepare(images, train=2000, validation=0, test=1000, color="gray", pool=4, seed=0)
    assert by_image.X_train.shape == (2000, 64)
    assert (np.bincount(by_image.labels_train) == 200).all()


# --- targets --------------------------------------------------------------------------------------


def _targets(targets, **options):
    pixels, labels = numbered([4, 4, 4])
    features = prepare(
        make_images(pixels, labels),
        train=6,
        validation=0,
        test=0,
        targets=targets,
        seed=0,
        **options,
    )
    return features.Y_train, features.labels_train


def test_one_hot_targets():
    Y, labels = _targets("one_hot")
    assert Y.shape == (6, 3)
    assert Y.dtype == np.float32
    np.testing.assert_array_equal(Y.sum(axis=1), 1)
    np.testing.assert_array_equal(Y.argmax(axis=1), labels)


def test_plus_minus_targets():
    Y, labels = _targets("plus_minus")
    np.testing.assert_array_equal(Y, np.where(np.arange(3) == labels[:, None], 1, -1))


def test_plus_minus_targets_of_two_classes_are_one_column():
    Y, labels = _targets("plus_minus", classes=["b", "a"])
    assert Y.shape == (6, 1)
    np.testing.assert_array_equal(Y[:, 0], np.where(labels == 1, 1, -1))


@pytest.mark.parametrize(
    ("Y", "labels"),
    [([[1, 0, 0], [0, 0, 1], [0, 1, 0]], [0, 2, 1]), ([[1], [-1], [1]], [1, 0, 1])],
)
def test_targets_are_those_of_the_class_in_training(Y, labels):
    features = {"Y_train": np.array(Y, dtype=np.float32), "labels_train": np.array(labels)}
    np.testing.assert_array_equal(targets_of(features["labels_train"], features), Y)
    again = targets_of(np.array([labels[1], labels[0], labels[1]]), features)
    np.testing.assert_array_equal(again, [Y[1], Y[0], Y[1]])
    assert targets_of(np.empty(0, np.int64), features).shape == (0, len(Y[0]))


def test_a_class_without_a_training_sample_has_no_target():
    features = {"Y_train": np.eye(3)[[0, 2]], "labels_train": np.array([0, 2])}
    targets = targets_of(np.array([2, 1, 3]), features)
    np.testing.assert_array_equal(targets, [[0, 0, 1], [np.nan] * 3, [np.nan] * 3])


# --- label noise ----------------------------------------------------------------------------------


def test_noise_replaces_its_share_of_the_training_labels_and_nothing_else():
    images = make_images(*numbered([40, 40, 20]))

    def draw(share):
        sizes = {"train": 60, "validation": 20, "test": 20}
        return prepare(images, **sizes, normalize="none", label_noise=share, seed=3)

    clean, noisy, noisier = draw(0), draw(0.2), draw(0.6)
    replaced = noisy.labels_train != clean.labels_train
    assert replaced.sum() == 12
    assert (noisier.labels_train != clean.labels_train).sum() == 36
    # More noise replaces the same labels by the same others, and more.
    np.testing.assert_array_equal(noisier.labels_train[replaced], noisy.labels_train[replaced])
    np.testing.assert_array_equal(noisy.Y_train, np.eye(3)[noisy.labels_train])
    untouched = vars(clean).keys() - {"labels_train", "Y_train"}
    for name in untouched:
        np.testing.assert_array_equal(getattr(noisy, name), getattr(clean, name))
    again = draw(0.2)
    np.testing.assert_array_equal(again.labels_train, noisy.labels_train)


def test_all_other_classes_are_equally_likely_in_noise():
    labels, n = np.full(30_000, 2), 30_000
    noisy = with_noise(labels, 0.5, 4, np.random.default_rng(0))
    counts = np.bincount(noisy, minlength=4)
    assert counts[2] == n / 2
    # Standard deviation 58 of 5,000.
    assert (np.abs(counts[[0, 1, 3]] - 5_000) < 250).all()
    assert (labels == 2).all()
    # Both halves have the same number of replaced labels, within five deviations.
    assert abs((noisy[: n // 2] != 2).sum() - n / 4) < 5 * (n / 16) ** 0.5


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, np.nan, "0.1", True])
def test_noise_is_a_share(share):
    images = make_images(*numbered([30, 20, 10]))
    with pytest.raises(ValueError, match=r"label_noise must be a share .* in \[0, 1\)"):
        prepare(images, train=6, validation=0, test=0, label_noise=share, seed=0)


# --- patches --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "K", "h"),
    [
        ({"size": 2, "stride": 2}, 6, 12),  # tiles
        ({"size": 3}, 8, 27),  # overlapping: the default step is 1
        ({"size": 3, "stride": 2, "padding": 1}, 6, 27),
    ],
)
def test_kernels_on_patches_are_a_convolution_of_the_normalized_images(view, K, h):
    rng = np.random.default_rng(0)
    images = make_images(rng.integers(0, 256, (10, 8, 12, 3)), np.arange(10) % 3)
    options = {"train": 5, "validation": 3, "test": 0, "pool": 2, "seed": 0}
    cut, whole = prepare(images, patches=view, **options), prepare(images, **options)
    kernels = torch.as_tensor(rng.standard_normal((4, 3, view["size"], view["size"])))
    steps = {key: view[key] for key in ("stride", "padding") if key in view}
    for split, n in (("train", 5), ("validation", 3)):
        X = torch.as_tensor(getattr(cut, f"X_{split}"))
        assert X.dtype == torch.float32
        assert X.shape == (K, n, h)
        pixels = getattr(whole, f"X_{split}").reshape(n, 4, 6, 3).transpose(0, 3, 1, 2)
        expected = conv2d(torch.as_tensor(pixels).double(), kernels, **steps)
        outputs = X.double() @ kernels.reshape(4, h).T  # (K, n, 4)
        # The same sums of 27 products, in float64, in another order.
        expected = expected.flatten(2).permute(2, 0, 1)
        torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    assert cut.X_test.shape == (K, 0, h)
    np.testing.assert_array_equal(cut.labels_train, whole.labels_train)


def test_a_patch_of_the_whole_image_is_the_image():
    digits = load_images("digits")
    sizes = {"train": 20, "validation": 10, "test": 0, "normalize": "none", "seed": 0}
    whole, cut = prepare(digits, **sizes), prepare(digits, patches={"size": 8}, **sizes)
    np.testing.assert_array_equal(cut.X_train, whole.X_train[None])


def test_patches_larger_than_the_pooled_image_are_refused():
    options = {"train": 20, "validation": 0, "test": 0, "pool": 2, "seed": 0}
    with pytest.raises(ValueError, match=r"kernel of size \(5, 5\) is larger"):
        prepare(load_images("digits"), patches={"size": 5}, **options)


def test_a_class_that_noise_empties_is_named():
    """One of three labels is replaced; whichever it is, a class is left without a sample."""
    images = make_images(*numbered([1, 1, 1]))
    with pytest.raises(ValueError, match="every class needs a training sample"):
        prepare(images, train=3, validation=0, test=0, label_noise=0.3, seed=0)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"classes": ["a", "cat"]},
            r"classes \['cat'\] are unknown; this data set has 'a', 'b', 'c'",
        ),
        ({"classes": ["a"]}, r"at least two different names, got \['a'\]"),
        ({"classes": ["a", "a"]}, "at least two different names"),
        ({"train": 61}, r"ask for 61 samples, but there are 60 \(a: 30, b: 20, c: 10\)"),
        ({"train": 50, "validation": 6, "test": 5}, "ask for 61 samples"),
        ({"train": 51, "classes": ["a", "b"]}, r"there are 50 \(a: 30, b: 20\)"),
        ({"train": None, "test": None}, "test and train are both null"),
        ({"train": 2}, "2 samples hold none of c"),
        ({"train": 0}, "train must be at least 1"),
        ({"validation": -1}, "validation must be at least 0"),
        ({"train": 1.5}, "train must be a whole number"),
        ({"pool": 2}, "pool must be from 1 to 1, got 2"),
        ({"seed": None}, "seed must be a whole number"),
        ({"draw": -1}, "draw must be from 0"),
        ({"draw": 0.5}, "draw must be a whole number"),
        ({"color": "grey"}, "color must be one of 'rgb', 'gray', got 'grey'"),
        ({"normalize": None}, "normalize must be one of 'image', 'pixel', 'none', got None"),
        ({"targets": "onehot"}, "targets must be one of 'one_hot', 'plus_minus', got 'onehot'"),
    ],
)
def test_errors_say_what_was_expected(options, message):
    images = make_images(*numbered([30, 20, 10]))
    with pytest.raises(ValueError, match=message):
        prepare(images, **({"train": 6, "validation": 0, "test": 0, "seed": 0} | options))


def test_pool_must_divide_height_and_width():
    images = make_images(np.zeros((2, 4, 6, 1)), [0, 1], classes="ab")
    with pytest.raises(ValueError, match="must divide the height and width of the images, 4 x 6"):
        prepare(images, train=2, validation=0, test=0, pool=3, seed=0)


def test_class_without_training_images_is_named():
    images = make_images(*numbered([30, 20]), classes="abc")
    with pytest.raises(ValueError, match="hold none of c"):
        prepare(images, train=None, validation=0, test=0, seed=0)
