"""Data sets: axis order and labels, and every way in which files can be missing or broken."""

import errno
import hashlib
import io
import os
import pickle
import socket
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10
from torchvision.datasets import utils as torchvision_utils

from convexbn.data import cifar
from convexbn.data.images import Images
from convexbn.data.preprocessing import prepare
from convexbn.data.sources import SOURCES, Source, load_images
from convexbn.pipeline.footprint import Size, size_of

BATCHES = "cifar-10-batches-py"


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


# --- known images ---------------------------------------------------------------------------------


def test_digits_first_image_is_the_known_zero():
    images = load_images("digits")
    assert images.train_images.shape == (1797, 8, 8, 1)
    assert images.test_images.shape == (0, 8, 8, 1)
    assert images.white == images.train_images.max() == 16
    # First two rows of the first image of the UCI test file optdigits.tes.
    assert images.train_images[0, 0, :, 0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]
    assert images.train_images[0, 1, :, 0].tolist() == [0, 0, 13, 15, 10, 15, 5, 0]
    assert images.classes[images.train_labels[0]] == "0"


@pytest.fixture(scope="module")
def cifar10(cifar_dir):
    return load_images("cifar10", folder=cifar_dir)


def test_cifar10_first_image_is_the_known_frog(cifar10, cifar_dir):
    frog = cifar10.train_images[0]
    assert cifar10.classes[cifar10.train_labels[0]] == "frog"
    assert frog[0, 0].tolist() == [59, 62, 63]
    raw = pickle.loads((cifar_dir / BATCHES / "data_batch_1").read_bytes(), encoding="latin1")
    row = raw["data"][0]
    for i, j in [(2, 29), (29, 2)]:
        assert frog[i, j].tolist() == [row[1024 * c + 32 * i + j] for c in range(3)]
    assert frog[2, 29].tolist() != frog[29, 2].tolist()


def test_cifar10_has_its_official_counts(cifar10):
    assert cifar10.train_images.shape == (50_000, 32, 32, 3)
    assert cifar10.test_images.shape == (10_000, 32, 32, 3)
    assert (np.bincount(cifar10.train_labels) == 5_000).all()
    assert (np.bincount(cifar10.test_labels) == 1_000).all()
    assert cifar10.train_images.flags.c_contiguous


def test_cifar100_coarse_labels_group_the_fine_ones(cifar_dir):
    fine = load_images("cifar100", folder=cifar_dir)
    coarse = load_images("cifar100", labels="coarse", folder=cifar_dir)
    assert (len(fine.classes), len(coarse.classes)) == (100, 20)
    np.testing.assert_array_equal(fine.test_images, coarse.test_images)
    pairs = set(zip(fine.train_labels, coarse.train_labels, strict=True))
    assert pairs == set(zip(fine.test_labels, coarse.test_labels, strict=True))
    assert len(pairs) == 100  # each fine class in one superclass
    assert np.bincount([group for _, group in pairs]).tolist() == [5] * 20
    members = {fine.classes[a] for a, b in pairs if coarse.classes[b] == "aquatic_mammals"}
    assert members == {"beaver", "dolphin", "otter", "seal", "whale"}


# --- a CIFAR-10 of 24 images ----------------------------------------------------------------------


class FakeCifar:
    """CIFAR-10 in the official layout, four random images per file, and its archive."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.pixels = generator.integers(0, 256, (24, 3072), dtype=np.uint8)
        self.labels = generator.integers(0, 10, 24).tolist()
        names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
        self.files = {
            name: pickle.dumps({"data": self.pixels[i : i + 4], "labels": self.labels[i : i + 4]})
            for name, i in zip(names, range(0, 24, 4), strict=True)
        }
        self.files["batches.meta"] = pickle.dumps({"label_names": [f"class{i}" for i in range(10)]})
        self.archive = self._tar()

    def _tar(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, content in self.files.items():
                member = tarfile.TarInfo(f"{BATCHES}/{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    def write(self, folder):
        (folder / BATCHES).mkdir(parents=True)
        for name, content in self.files.items():
            (folder / BATCHES / name).write_bytes(content)
        return folder

    def assert_equal(self, images):
        turned = self.pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(images.train_images, turned[:20])
        np.testing.assert_array_equal(images.test_images, turned[20:])
        assert [*images.train_labels, *images.test_labels] == self.labels
        assert images.classes[7] == "class7"


@pytest.fixture
def fake(monkeypatch):
    fake = FakeCifar()
    sums = {name: md5(content) for name, content in fake.files.items()}
    train = [(name, sums[name]) for name in fake.files if name.startswith("data_batch")]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", [("test_batch", sums["test_batch"])])
    monkeypatch.setattr(CIFAR10, "meta", meta)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(fake.archive))
    for name, content in fake.files.items():
        monkeypatch.setitem(cifar.OFFICIAL_BYTES, name, len(content))
    return fake


def test_folder_is_read_channel_last_and_left_as_it_is(fake, tmp_path):
    folder = fake.write(tmp_path / "cifar")
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}
    fake.assert_equal(load_images("cifar10", folder=folder))
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before


def test_missing_folder_is_named(fake, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere is missing.*cifar-10-batches-py/.*data_dir"
    ):
        load_images("cifar10", folder=tmp_path / "nowhere")


def test_folder_without_the_batches_says_what_it_holds(fake, tmp_path):
    folder = fake.write(tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"contains cifar-10-batches-py/.*found batches.meta"
    ):
        load_images("cifar10", folder=folder / BATCHES)


@pytest.mark.parametrize("name", ["data_batch_4", "test_batch", "batches.meta"])
def test_missing_file_is_named(fake, tmp_path, name):
    folder = fake.write(tmp_path)
    (folder / BATCHES / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing.*{md5(fake.files[name])}"):
        load_images("cifar10", folder=folder)


def test_truncated_file_is_named_with_its_sizes(fake, tmp_path):
    folder = fake.write(tmp_path)
    whole = fake.files["data_batch_2"]
    (folder / BATCHES / "data_batch_2").write_bytes(whole[:1000])
    message = rf"data_batch_2 .*expected {len(whole)} bytes .*{md5(whole)}, got 1000 bytes .*unpack"
    with pytest.raises(ValueError, match=message):
        load_images("cifar10", folder=folder)


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_altered_file_is_refused_before_it_is_unpickled(fake, tmp_path):
    folder = fake.write(tmp_path)
    (folder / BATCHES / "batches.meta").write_bytes(pickle.dumps(_Trap(tmp_path / "sprung")))
    with pytest.raises(ValueError, match=r"batches\.meta is truncated or altered"):
        load_images("cifar10", folder=folder)
    assert not (tmp_path / "sprung").exists()


# --- downloads, from a server on this machine -----------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves the next of `bodies` to each download, the last one for ever."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies, self.size, self.downloads, self.delay = [], None, 0, 0.0

    def next_body(self):
        self.downloads += 1
        return self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        # torchvision looks for redirections first, with this header.
        body = b"" if self.headers.get("Method") == "HEAD" else self.server.next_body()
        time.sleep(self.server.delay)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(self.server.size))
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def server(fake, monkeypatch):
    server = Server()
    server.bodies, server.size = [fake.archive], len(fake.archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    _point_to(server.server_port, monkeypatch)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _point_to(port, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{port}/cifar-10-python.tar.gz")
    monkeypatch.setattr(cifar, "WAIT_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")


def test_download_happens_once(fake, server, tmp_path):
    fake.assert_equal(load_images("cifar10", download_to=tmp_path / "new" / "raw"))
    fake.assert_equal(load_images("cifar10", download_to=tmp_path / "new" / "raw"))
    assert server.downloads == 1


def test_broken_downloads_are_tried_again(fake, server, tmp_path, caplog):
    half = fake.archive[: len(fake.archive) // 2]
    server.bodies = [half, b"<html>sign in</html>", fake.archive]
    fake.assert_equal(load_images("cifar10", download_to=tmp_path))
    assert server.downloads == 3
    assert sum("Retrying" in record.message for record in caplog.records) == 2


def test_archive_that_would_write_elsewhere_is_not_unpacked(fake, server, tmp_path):
    """Only the official archive is, by its MD5."""
    folder, buffer = tmp_path / "raw", io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("../escaped", f"{BATCHES}/batches.meta"):
            tar.addfile(tarfile.TarInfo(name))
    server.bodies, server.size = [buffer.getvalue()], len(buffer.getvalue())
    with pytest.raises(ConnectionError, match="expected an archive with MD5"):
        load_images("cifar10", download_to=folder)
    assert not (tmp_path / "escaped").exists()
    assert not (folder / BATCHES).exists()


def test_half_archive_of_an_earlier_run_is_replaced(fake, server, tmp_path):
    (tmp_path / CIFAR10.filename).write_bytes(fake.archive[:500])
    fake.assert_equal(load_images("cifar10", download_to=tmp_path))
    assert (tmp_path / CIFAR10.filename).read_bytes() == fake.archive


def test_half_extracted_files_are_extracted_again(fake, server, tmp_path):
    load_images("cifar10", download_to=tmp_path)
    (tmp_path / BATCHES / "data_batch_3").write_bytes(fake.files["data_batch_3"][:100])
    (tmp_path / BATCHES / "batches.meta").unlink()
    fake.assert_equal(load_images("cifar10", download_to=tmp_path))
    assert server.downloads == 1


def test_two_jobs_download_once(fake, server, tmp_path):
    server.delay = 0.2  # long enough for both to find the folder empty, were there no lock
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(load_images, "cifar10", download_to=tmp_path) for _ in range(2)]
    for one in both:
        fake.assert_equal(one.result())
    assert server.downloads == 1


def test_no_server_is_a_clear_error_after_four_tries(fake, monkeypatch, tmp_path, caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        _point_to(free.getsockname()[1], monkeypatch)
    with pytest.raises(ConnectionError, match=r"http://127.*in 4 tries.*refused.*CIFAR_DIR"):
        load_images("cifar10", download_to=tmp_path)
    assert sum("Retrying" in record.message for record in caplog.records) == 3


def test_silent_server_is_given_up(fake, monkeypatch, tmp_path):
    monkeypatch.setattr(cifar, "TIMEOUT_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        _point_to(silent.getsockname()[1], monkeypatch)
        with pytest.raises(ConnectionError, match=r"could not download.*timed out"):
            load_images("cifar10", download_to=tmp_path)
    assert socket.getdefaulttimeout() is None


def test_file_gone_from_the_server_is_a_clear_error(fake, server, tmp_path):
    server.bodies = [None]
    with pytest.raises(ConnectionError, match=r"could not download.*404"):
        load_images("cifar10", download_to=tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk always full")
def test_full_disk_while_downloading(fake, server, tmp_path):
    archive = tmp_path / CIFAR10.filename
    archive.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"no space left.*170 MB.*186 MB.*are free") as caught:
        load_images("cifar10", download_to=tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(caught.value)
    assert server.downloads == 1  # trying again would not help
    archive.unlink()
    fake.assert_equal(load_images("cifar10", download_to=tmp_path))


def test_full_disk_while_extracting(fake, server, tmp_path, monkeypatch):
    def write_half(source, target, length, *args, **kwargs):
        target.write(source.read(length // 2))
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with monkeypatch.context() as full:
        full.setattr(tarfile, "copyfileobj", write_half)
        with pytest.raises(OSError, match="no space left"):
            load_images("cifar10", download_to=tmp_path)
    assert (tmp_path / BATCHES / "data_batch_1").stat().st_size < len(fake.files["data_batch_1"])
    fake.assert_equal(load_images("cifar10", download_to=tmp_path))
    assert server.downloads == 1


def test_full_disk_is_seen_behind_the_second_try_over_http(fake, monkeypatch, tmp_path):
    def retrieve(url, filename):
        if url.startswith("https"):
            raise OSError(errno.ENOSPC, "No space left on device")
        raise URLError("no route")

    monkeypatch.setattr(CIFAR10, "url", "https://127.0.0.1/cifar-10-python.tar.gz")
    monkeypatch.setattr(torchvision_utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(torchvision_utils, "_urlretrieve", retrieve)
    with pytest.raises(OSError, match="no space left") as caught:
        load_images("cifar10", download_to=tmp_path)
    assert caught.value.errno == errno.ENOSPC


# --- image folders --------------------------------------------------------------------------------


def _write_tree(root, tree):
    """Write {"train/cat/1.png": array} as image files."""
    for name, pixels in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)
    return root


def _noise(seed, shape=(4, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_image_folder_keeps_pixels_order_and_labels(tmp_path):
    tree = {
        "train/dog/b.png": _noise(0),
        "train/dog/a.png": _noise(1),
        "train/cat/z.png": _noise(2),
        "test/dog/1.png": _noise(3),
    }
    _write_tree(tmp_path, tree)
    (tmp_path / "train/dog/.hidden").write_text("not an image")
    images = load_images("image_folder", path=tmp_path)
    assert images.classes == ("cat", "dog")
    assert images.train_labels.tolist() == [0, 1, 1]
    assert images.test_labels.tolist() == [1]
    order = ["train/cat/z.png", "train/dog/a.png", "train/dog/b.png"]
    np.testing.assert_array_equal(images.train_images, [tree[name] for name in order])
    np.testing.assert_array_equal(images.test_images, [tree["test/dog/1.png"]])


def test_image_folder_without_test_has_no_official_split(tmp_path):
    _write_tree(tmp_path, {"train/a/1.png": _noise(0), "train/b/1.png": _noise(1)})
    images = load_images("image_folder", path=tmp_path)
    assert images.test_images.shape == (0, 4, 6, 3)
    assert set(images.tensors()) == {"train_images", "train_labels"}


def test_image_folder_resizes_to_height_and_width(tmp_path):
    halves = np.zeros((8, 8, 3), dtype=np.uint8)
    halves[:, 4:, 0] = 200  # the right half is red
    gray = np.full((5, 9), 7, dtype=np.uint8)
    _write_tree(tmp_path, {"train/a/1.png": halves, "train/b/1.png": gray})
    images = load_images("image_folder", path=tmp_path, size=[2, 4]).train_images
    assert images.shape == (2, 2, 4, 3)
    assert images[0, :, 0].max() == 0
    assert images[0, :, 3].tolist() == [[200, 0, 0]] * 2
    assert (images[1] == 7).all()


def test_image_folder_errors_name_the_culprit(tmp_path):
    def load(**options):
        return load_images("image_folder", path=tmp_path, **options)

    with pytest.raises(ValueError, match="needs path"):
        load_images("image_folder")
    with pytest.raises(FileNotFoundError, match=r"train is missing; expected images in"):
        load()
    _write_tree(tmp_path, {"train/a/1.png": _noise(0), "train/b/1.png": _noise(1, (5, 6, 3))})
    with pytest.raises(ValueError, match=r"b/1\.png is 5 x 6 .*a/1\.png is 4 x 6; set size"):
        load()
    with pytest.raises(ValueError, match="size must be"):
        load(size=[8])
    (tmp_path / "train/c").mkdir()
    with pytest.raises(ValueError, match=r"class .*train/c has no images"):
        load(size=[4, 6])
    (tmp_path / "train/c").rmdir()
    _write_tree(tmp_path, {"test/x/1.png": _noise(2)})
    with pytest.raises(ValueError, match=r"test/x is a class that train/ does not have .*a, b"):
        load(size=[4, 6])


@pytest.mark.parametrize("content", [b"", b"no image", "half", "16 bits"])
def test_unreadable_image_is_named(tmp_path, content):
    whole = io.BytesIO()
    Image.fromarray(_noise(0)).save(whole, "PNG")
    if content == "16 bits":
        whole = io.BytesIO()
        Image.fromarray(np.full((4, 6), 30_000, dtype=np.uint16)).save(whole, "PNG")
    content = {"half": whole.getvalue()[:60], "16 bits": whole.getvalue()}.get(content, content)
    _write_tree(tmp_path, {"train/a/1.png": _noise(0)})
    (tmp_path / "train/a/2.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"2\.png cannot be read as an 8-bit image"):
        load_images("image_folder", path=tmp_path)


def test_stray_file_among_the_classes_is_named(tmp_path):
    _write_tree(tmp_path, {"train/a/1.png": _noise(0), "train/lost.png": _noise(1)})
    with pytest.raises(ValueError, match=r"nothing else, found the file lost\.png"):
        load_images("image_folder", path=tmp_path)


# --- names ----------------------------------------------------------------------------------------


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ValueError, match=r"source must be one of 'digits', .*got 'mnist'"):
        load_images("mnist")
    with pytest.raises(ValueError, match=r"source must be one of .*'image_folder'.*, got 'mnist'"):
        size_of({"source": "mnist"})
    with pytest.raises(ValueError, match="labels of cifar10 must be 'fine', got 'coarse'"):
        load_images("cifar10", labels="coarse")


def test_the_table_has_the_sizes_that_are_read():
    images, row = load_images("digits"), SOURCES["digits"]
    assert images.train_images.shape == (row.train, *row.shape)
    assert (len(images.test_labels), len(images.classes)) == (row.test, row.classes["fine"])


def test_cifar_has_the_sizes_of_its_row(cifar10):
    row = SOURCES["cifar10"]
    assert cifar10.train_images.shape == (row.train, *row.shape)
    assert (len(cifar10.test_labels), len(cifar10.classes)) == (row.test, row.classes["fine"])


def test_a_new_source_is_a_row_of_the_table(monkeypatch):
    """Besides a reader in a module of its own and a name in the schema, it takes nothing else."""
    pixels = np.arange(12 * 4 * 6 * 3).astype(np.uint8).reshape(12, 4, 6, 3)

    def read(**_):
        tensors = {"train_images": pixels, "train_labels": np.arange(12) % 3}
        return Images.from_tensors(tensors, "abc")

    monkeypatch.setitem(SOURCES, "toy", Source(12, 0, (4, 6, 3), {"fine": 3}, read))
    images = load_images("toy")
    np.testing.assert_array_equal(images.train_images, pixels)
    entry = {"train": 6, "validation": 3, "test": 3, "pool": 2}
    features, size = prepare(images, **entry, seed=0), size_of({"source": "toy"} | entry)
    assert size == Size(n=6, m=6, d=2 * 3 * 3, C=3)
    assert features.X_train.shape == (size.n, size.d)
    assert features.Y_train.shape == (size.n, size.C)
    with pytest.raises(ValueError, match="labels of toy must be 'fine', got 'coarse'"):
        load_images("toy", labels="coarse")


def test_images_come_back_from_their_tensors():
    images = load_images("digits")
    again = Images.from_tensors(images.tensors(), images.classes, images.white)
    for name, value in vars(images).items():
        np.testing.assert_array_equal(getattr(again, name), value)
