"""Stochastic gradient descent on two-layer networks, a whole sweep at once.

Every network of the sweep, a member, is one (seed, learning rate, beta). A step descends on

    (1/b) L(f(X_b), Y_b) + (1/n) beta/2 * squares of the decayed parameters

on a batch of b of the n samples, in the paper's scale (:mod:`convexbn.networks.two_layer`). For the
convex program it descends on the program's own objective, divided by n in the same way
(:mod:`convexbn.networks.gated_program`). Members are independent: each takes the steps that it
would take alone. So their parameters are stacked, and a step of all of them is one batched matrix
product; on a CPU with several threads, each thread has a stack of its own and waits for the others
only at the end of an epoch.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch

from convexbn.inputs import check_between
from convexbn.products import fast_products, repeatable
from convexbn.progress import progress
from convexbn.training.checkpoints import Checkpoint, fingerprint
from convexbn.training.data import TrainingData
from convexbn.training.memory import members_in_cache
from convexbn.training.stacks import Stack
from convexbn.training.sweeps import Member, Sweep
from convexbn.training.tuning import best_setting, check_tuning

_logger = logging.getLogger(__name__)


def train(
    features: dict,
    sweep: Sweep,
    device: str | torch.device = "cpu",
    checkpoint: str | Path | None = None,
) -> tuple[list[dict], dict]:
    """Train every member of a sweep; return its history and its final networks.

    Parameters
    ----------
    features : dict of arrays
        X_train (n, d), or (K, n, h) for the K patches of a convolutional network with average
        pooling, and Y_train (n, C), both float32 or float64, the precision of the networks;
        labels_train (n,), integers; and X_*, labels_* for validation and test, each possibly of
        zero rows. For the network "convex", the
        features that `convexbn.pipeline.designs.whitened` returns.
    sweep : Sweep
    device : str or torch.device
        The device that holds data and networks throughout. A CPU is used with PyTorch's number of
        threads.
    checkpoint : str or Path, optional
        A file for the state of the training, written about every half minute and at the end; remove
        it once the results are kept. If the file exists and belongs to this sweep on these data,
        the training goes on from there, to the same numbers as without the interruption (on the
        same machine). A file of other settings, data, code or number of threads is overwritten.

    Returns
    -------
    history : list of dict
        One row per member and evaluated epoch: seed, learning_rate, beta, width (for "convex" the
        number of non-zero blocks), epoch, seconds, objective, the accuracy on each split,
        train_loss and test_loss (per sample), and in a member's last row test_nll, test_ece and
        temperature (NaN before; see :func:`convexbn.evaluation.calibration`). Seconds are training
        time per network: the time of the members trained together over their number, without
        evaluation and warm-up. The objective is that of the full batch in the paper's units.
        Evaluation uses the exact statistics of the training set. A network that diverged (its
        objective is not finite, or more than :data:`convexbn.training.stacks.DIVERGED` times the
        objective at the start) keeps its rows, with NaN as objective and as measures: the largest
        of its scores would be an arbitrary class.
    parameters : dict of tensors
        The final networks on the CPU, one slice per member in the order of `sweep.members`, the
        members of `sweep.tuning` before those of `sweep.remaining`: their parameters by name, and
        for BN `mean` and `variance`, the statistics of the training set; slice i is the state of
        network i for `load_state_dict`. For "convex" it holds the `weights` of the program, as in
        :class:`convexbn.Solution`.

    Raises
    ------
    ValueError
        If the features are not as said, hold NaN or do not fit together, or X_train varies by too
        little or too much for batch normalization in its precision; if the batch size exceeds the
        number of samples, there are tuning seeds but no validation samples, or the file is not a
        checkpoint.
    """
    data = TrainingData.read(features, sweep, device)
    check_between("batch_size", sweep.batch_size, 2, len(data.Y))
    check_tuning(sweep.tuning_seeds, len(sweep.seeds), len(data.labels["validation"]))
    threads = 1 if data.Y.is_cuda else torch.get_num_threads()
    groups = _groups(sweep.tuning, data, threads)
    # The groups of the seeds that do not tune depend on the threads alone, beside all this.
    work = _work(features, f"{sweep} {device} {threads} {groups}") if checkpoint else ""
    store = Checkpoint(checkpoint, work)
    state = store.load() or {"finished": [], "stacks": []}
    finished, saved = state["finished"], state["stacks"]
    expected = len(groups)
    if sweep.is_tuned:
        like = sweep.remaining(sweep.betas[0], sweep.learning_rates[0])
        expected += len(_groups(like, data, threads))
    products = fast_products(0 if data.Y.is_cuda else math.prod(_sizes(data, sweep)))
    epochs = progress(sweep.epochs * expected, "SGD, epochs")
    with workers(threads) as each, products, repeatable(device), epochs as bar:
        bar.step(steps=sweep.epochs * len(finished))
        for group in islice(_plan(groups, sweep, data, threads, finished), len(finished), None):
            stacks = [Stack(data, sweep, members) for members in group]
            if saved:  # only in the first group
                for stack, kept in zip(stacks, saved, strict=True):
                    stack.restore(kept)
                saved = []
            bar.step(steps=stacks[0].epoch)
            for words in _run(stacks, each if len(stacks) > 1 else map):
                store.save(partial(_state, finished, stacks))
                bar.step(words)
            finished.append(_joined([(stack.history, stack.final()) for stack in stacks]))
    store.save(partial(_state, finished, []), last=True)
    return _rows(finished), _joined(finished)[1]


def _sizes(data: TrainingData, sweep: Sweep) -> tuple[int, int, int]:
    """Return those of the largest products in a network's step: features, units, rows."""
    return data.h, sweep.width or data.units, sweep.batch_size * data.patches


def _plan(
    groups: list, sweep: Sweep, data: TrainingData, threads: int, finished: list
) -> Iterator[list[list[Member]]]:
    """Yield the groups of members: those that tune, and after they have `finished` the others."""
    yield from groups
    if sweep.is_tuned and (setting := _chosen(sweep, _rows(finished[: len(groups)]))):
        yield from _groups(sweep.remaining(*setting), data, threads)


def _rows(finished: list) -> list[dict]:
    return [row for rows, _ in finished for row in rows]


def _chosen(sweep: Sweep, rows: list[dict]) -> tuple | None:
    """Return beta and learning rate of the seeds that do not tune; None if all diverged."""
    last = [row for row in rows if row["epoch"] == sweep.epochs]
    chosen = best_setting(last, ("beta", "learning_rate"))
    if chosen is None:
        _logger.warning("every setting diverged with a tuning seed: the other seeds are left out")
    else:
        _logger.info("the seeds that do not tune take beta %g and learning rate %g", *chosen)
    return chosen


def _groups(sweep: Sweep, data: TrainingData, threads: int) -> list[list[list[Member]]]:
    """Return the members that are trained together, group by group, in one list per thread."""
    members = sweep.members
    size = sweep.max_members or len(members)
    if sweep.max_members is None and not data.Y.is_cuda:
        fitting = members_in_cache(*_sizes(data, sweep), data.Y.element_size())
        size = threads * max(1, fitting // threads)
    return [_dealt(group, threads) for group in _cut(members, size)]


def _dealt(members: list, threads: int) -> list[list]:
    """Return members in one list per thread, of almost equal lengths."""
    return _cut(members, -(-len(members) // threads))


def _cut(members: list, size: int) -> list[list]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def _work(features: dict, settings: str) -> str:
    """Return the fingerprint of this training, without the clock of its set-up."""
    arrays = {name: values for name, values in features.items() if name != "setup_seconds"}
    return fingerprint(settings, arrays, __file__)


def _state(finished: list, stacks: Sequence[Stack]) -> dict:
    return {"finished": finished, "stacks": [stack.state() for stack in stacks]}


@contextmanager
def workers(threads: int) -> Iterator[Callable]:
    """Give a `map` over threads, each of which computes on one core."""
    with _blas_alone(), ThreadPoolExecutor(threads, "sgd", torch.set_num_threads, (1,)) as pool:
        try:
            yield pool.map
        finally:
            torch.set_num_threads(threads)  # for the threads that are made after these


def _blas_alone() -> AbstractContextManager:
    """Return a context in which NumPy's products take one thread, if threadpoolctl is installed.

    Without threadpoolctl the results are the same, but threads may wait for each other's products.
    """
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _run(stacks: Sequence[Stack], each: Callable) -> Iterator[str]:
    """Train stacks side by side, `each` a map; yield a line for the log after each epoch."""
    data, sweep = stacks[0].data, stacks[0].sweep
    members = sum(len(stack.members) for stack in stacks)
    list(each(Stack.warm_up, stacks))
    for stack in stacks:
        stack.evaluate()
    while stacks[0].epoch < sweep.epochs:
        start = _now(data)
        list(each(Stack.train_epoch, stacks))
        seconds = (_now(data) - start) / members
        for stack in stacks:
            stack.close_epoch(seconds)
            stack.evaluate()
        yield f"epoch {stacks[0].epoch}/{sweep.epochs}, {seconds:.3g} s per network and epoch"
    for stack in stacks:
        stack.warn_of_divergence()


def _now(data: TrainingData) -> float:
    """Return the clock's seconds once the device has done its work."""
    if data.Y.is_cuda:
        torch.cuda.synchronize(data.Y.device)
    return time.perf_counter()


def _joined(parts: Sequence[tuple[list[dict], dict]]) -> tuple[list[dict], dict]:
    """Join the histories, sorted by epoch, and the parameters of the final networks."""
    history = sorted((row for rows, _ in parts for row in rows), key=lambda row: row["epoch"])
    stacked = [parameters for _, parameters in parts]
    return history, {name: torch.cat([one[name] for one in stacked]) for name in stacked[0]}
