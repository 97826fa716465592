"""What a GPU is worth here, in one command of under eight minutes: `make gpu`.

    python -m convexbn.experiments.benchmark.gpu results/gpu

It needs the project's folder, PyTorch, NumPy, pandas, SciPy, scikit-learn, safetensors and pytest,
no data and no Snakemake, and does the following in turn: the tests marked `gpu`; a small solve and
sweep of networks, on the GPU and on the CPU, for their ratio; a sweep of BN networks of width
4,096; and solves of the gated program at the size of CIFAR-10, n = 45,000, at several ranks, to
certified relative gaps of 1e-3 and 1e-6. Images are random
(:mod:`convexbn.experiments.benchmark.random_images`). After each measurement gpu.csv and gpu.md are
written anew, so that nothing is lost where the machine is taken away. Each solve has a limit of
time, at which it is left with the gap that it has reached, and so has the whole. Without a CUDA
device a small solve and sweep are made on the CPU, and the page says so.
"""

import argparse
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from convexbn.experiments.benchmark import gpu_steps as steps
from convexbn.experiments.benchmark.gpu_report import Report
from convexbn.experiments.benchmark.gpu_steps import NOT_REACHED, Row, Size
from convexbn.experiments.benchmark.random_images import RandomImages
from convexbn.pipeline.devices import pick_device

LIMIT = 420.0  # seconds for everything; a round of the largest solve, and a step's set-up, add some
_ROOT = Path(__file__).parents[4]
TESTS = [_ROOT / "tests" / f"test_pretended_{what}.py" for what in ("cuda", "experiments")]
_TESTING, _SWEEPING = 120.0, 60.0  # seconds at most

FULL = Size(
    **{"n": 45_000, "pixels": 3_072, "classes": 10, "gates": 4_096},
    ranks={80: 60.0, 320: 80.0, 3_072: 150.0},
    tolerances=(1e-3, 1e-6),
    **{"width": 4_096, "epochs": 4, "batch_size": 500, "product": 8_192},
)
# On the GPU and on the CPU beside it.
RATIO = Size(
    **{"n": 10_000, "pixels": 768, "classes": 10, "gates": 512},
    ranks={80: 40.0},
    tolerances=(1e-3,),
    **{"width": 512, "epochs": 2, "batch_size": 500, "product": 4_096},
)
# Where there is no GPU: some seconds on two cores.
SMALL = Size(
    **{"n": 2_000, "pixels": 100, "classes": 10, "gates": 64},
    ranks={40: 20.0},
    tolerances=(1e-3, 1e-6),
    **{"width": 256, "epochs": 2, "batch_size": 100, "product": 1_024},
)

_logger = logging.getLogger(__name__)


class Bench:
    """Measurements, all of which end by a time.

    Parameters
    ----------
    report : Report
        What takes the rows.
    limit : float
        Seconds for all of them.
    """

    def __init__(self, report: Report, limit: float = LIMIT) -> None:
        self.report, self.failed = report, False
        self._end = time.monotonic() + limit

    def by(self, most: float) -> float:
        """Return when a step that may take `most` seconds has to end, of the monotonic clock."""
        return min(time.monotonic() + most, self._end)

    def step(self, name: str, work: Callable[[], Iterator[Row]]) -> None:
        """Do a step, and keep each of its rows at once."""
        if time.monotonic() > self._end:
            self.report.add({"step": name, "words": NOT_REACHED})
            return
        try:
            for row in work():
                self.report.add({"step": name} | row)
        # A machine with a GPU is lent for minutes: whatever goes wrong in one step is written down,
        # with its traceback in the log, and the next one begins. The exit status says so.
        except Exception as error:
            _logger.exception("%s failed", name)
            words = f"failed: {type(error).__name__}: {error}".splitlines()[0]
            self.report.add({"step": name, "words": words[:300]})
            self.failed = True

    def all_steps(self, size: Size, device: str) -> None:
        """Do the measurements of one size on one device."""
        drawn: list[RandomImages] = []
        self.step("products", partial(steps.products, size, device))
        self.step("images", partial(steps.draw, size, device, drawn))
        rates = [
            row["gigaflops"]
            for row in self.report.rows
            if (row["step"], row.get("device")) == ("products", device) and "gigaflops" in row
        ]
        if not drawn or not rates:
            return  # the report says why
        images, rate = drawn[0], rates[-1]
        # The largest solve comes last, as it may take what time is left.
        *ranks, last = size.ranks
        for rank in ranks:
            self.step("solve", partial(self._solves, images, size, rank, rate))
        self.step("sweep", lambda: steps.sweep(images, size, rate, self.by(_SWEEPING)))
        self.step("solve", partial(self._solves, images, size, last, rate))

    def _solves(self, images: RandomImages, size: Size, rank: int, rate: float) -> Iterator[Row]:
        return steps.solves(images, size, rank, rate, self.by(size.ranks[rank]))

    def tests(self) -> Iterator[Row]:
        """Run the tests that need a CUDA device."""
        if not torch.cuda.is_available():
            yield {"words": "not run: PyTorch finds no CUDA device"}
            return
        command = [sys.executable, "-m", "pytest", "-v", "-m", "gpu", *map(str, TESTS)]
        # Straight into a file, so that what they said is there however they end.
        start, path = time.monotonic(), self.report.folder / "tests.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("w", encoding="utf-8") as output:
                run = subprocess.run(
                    command,
                    cwd=_ROOT,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                    timeout=max(1.0, self.by(_TESTING) - start),
                )
        except subprocess.TimeoutExpired:
            self.failed, last = True, f"{NOT_REACHED}: the end of {path.name} is "
        else:
            self.failed |= run.returncode != 0
            last = f"status {run.returncode}: " if run.returncode else ""
        said = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
        yield {"seconds": time.monotonic() - start, "words": f"{last}{said[-1] if said else ''}"}


def measure(folder: str | Path, full: Size, ratio: Size, small: Size, limit: float = LIMIT) -> bool:
    """Do all steps on the GPU if there is one, else on the CPU; return whether all went well.

    Parameters
    ----------
    folder : str or Path
        Where gpu.csv and gpu.md go.
    full, ratio, small : Size
        Of the measurements on a GPU; of those on it and on the CPU, for their ratio; and of those
        on the CPU where there is no GPU.
    limit : float
        Seconds.
    """
    device = pick_device("auto")
    bench = Bench(Report(folder, device), limit)
    bench.step("tests", bench.tests)
    if device == "cpu":
        bench.all_steps(small, device)
    else:
        for size, where in ((ratio, device), (ratio, "cpu"), (full, device)):
            bench.all_steps(size, where)
    return not bench.failed


def main(arguments: list[str] | None = None) -> int:
    """Measure as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="What a GPU is worth to convexbn.")
    parser.add_argument("folder", type=Path, help="where gpu.csv and gpu.md go")
    folder = parser.parse_args(arguments).folder
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    went_well = measure(folder, FULL, RATIO, SMALL)
    print(f"Wrote {folder / 'gpu.csv'} and {folder / 'gpu.md'}.")
    return 0 if went_well else 1


if __name__ == "__main__":
    sys.exit(main())
