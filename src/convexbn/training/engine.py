"""Stochastic gradient descent on two-layer networks, a whole sweep at once.

Every network of the sweep, a member, is one (seed, learning rate, beta). A step descends on

    (1/b) L(f(X_b), Y_b) + (1/n) beta/2 * squares of the decayed parameters

on a batch of b of the n samples, in the paper's scale (see networks), or for the convex program on
its own objective, divided by n in the same way (see convex_network). Members never touch each
other: each takes the steps that it would take alone. So their parameters are stacked, and a step of
all of them is one batched matrix product; and on a CPU with several threads each thread has members
of its own, and never waits for another within an epoch.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.util import find_spec
from itertools import islice

import torch

from convexbn.inputs import check_between
from convexbn.programs.memory import members_in_cache
from convexbn.progress import progress
from convexbn.training.checkpoints import Checkpoint, fingerprint
from convexbn.training.data import TrainingData
from convexbn.training.stacks import Course
from convexbn.training.sweeps import Sweep
from convexbn.training.tuning import best_setting, check_tuning

_logger = logging.getLogger(__name__)


def train(features: dict, sweep: Sweep, device="cpu", checkpoint=None) -> tuple[list[dict], dict]:
    """Train every member of a sweep; return its history and its final networks.

    Parameters
    ----------
    features : dict of arrays
        X_train (n, d), or (K, n, h) for the K patches of a convolutional network with average
        pooling, and Y_train (n, C), whose dtype is the networks'; labels_train (n,); and X_*,
        labels_* for validation and test, each possibly of zero rows. For network "convex" those of
        :func:`convexbn.pipeline.designs.whitened`.
    sweep : Sweep
    device : str or torch.device
        Where data and networks lie throughout. A CPU is used with PyTorch's number of threads.
    checkpoint : str or Path, optional
        A file for the state of the training, written about every half minute and removed at the
        end. If there is one of this sweep on these data, the training goes on from there, to the
        same numbers as if it had never stopped (on the same machine); one of other settings,
        data, code or number of threads is overwritten.

    Returns
    -------
    history : list of dict
        One row per member and evaluated epoch: seed, learning_rate, beta, width (for "convex" the
        number of non-zero blocks), epoch, seconds, objective, and for each split its accuracy,
        train_loss and test_loss (per sample), and in a member's last row test_nll, test_ece and
        temperature (NaN before; see :func:`convexbn.evaluation.calibration`). Seconds are training
        time per network: of the members trained together, over their number, without evaluation
        and warm-up. The objective is the full-batch one in the paper's units. Evaluation takes the
        exact statistics of the training set. A network that diverged (its objective is more than
        :data:`convexbn.training.stacks.DIVERGED` times that at the start, or not finite) keeps its
        rows, with NaN as objective and as measures: the largest of its scores would be an arbitrary
        class.
    parameters : dict of tensors
        The final networks on the CPU, one slice per member in the order of `sweep.members`, those
        of `sweep.tuning` before those of `sweep.remaining`: their parameters by name, and for BN
        `mean` and `variance`, the statistics of the training set. Of "convex" the `weights` of the
        program, as :class:`convexbn.Solution` has them.

    Raises
    ------
    ValueError
        If the features hold NaN or do not fit together, a batch has more samples than there are,
        there are tuning seeds and no validation samples, or the checkpoint is no checkpoint.
    """
    data = TrainingData.read(features, sweep, device)
    check_between("batch_size", sweep.batch_size, 2, len(data.Y))
    check_tuning(sweep.tuning_seeds, len(sweep.seeds), len(data.labels["validation"]))
    threads = 1 if data.Y.is_cuda else torch.get_num_threads()
    groups = _groups(sweep.tuning, data, threads)
    work = _work(features, f"{sweep} {device} {groups}") if checkpoint else ""
    store = Checkpoint(checkpoint, work)
    state = store.load() or {"finished": [], "courses": []}
    finished, saved = state["finished"], state["courses"]
    expected = len(groups)
    if sweep.is_tuned:
        like = sweep.remaining(sweep.betas[0], sweep.learning_rates[0])
        expected += len(_groups(like, data, threads))
    with workers(threads) as each, progress(sweep.epochs * expected, "SGD, epochs") as bar:
        bar.step(steps=sweep.epochs * len(finished))
        for group in islice(_plan(groups, sweep, data, threads, finished), len(finished), None):
            courses = [Course(data, sweep, members) for members in group]
            for course, kept in zip(courses, saved, strict=False):  # of the first, or none
                course.restore(kept)
            saved = ()
            bar.step(steps=courses[0].epoch)
            for words in _run(courses, each if len(courses) > 1 else map):
                store.save(partial(_state, finished, courses))
                bar.step(words)
            finished.append(_joined([(course.rows, course.final()) for course in courses]))
    store.remove()
    return _rows(finished), _joined(finished)[1]


def _plan(groups, sweep, data, threads, finished):
    """Yield the groups of members in turn: those that tune, and when `finished` the others."""
    yield from groups
    if sweep.is_tuned and (setting := _chosen(sweep, _rows(finished[: len(groups)]))):
        yield from _groups(sweep.remaining(*setting), data, threads)


def _rows(finished) -> list[dict]:
    return [row for rows, _ in finished for row in rows]


def _chosen(sweep, rows) -> tuple | None:
    """Return beta and learning rate of the seeds that do not tune; None if all diverged."""
    last = [row for row in rows if row["epoch"] == sweep.epochs]
    chosen = best_setting(last, ("beta", "learning_rate"))
    if chosen is None:
        _logger.warning("every setting diverged with one of the tuning seeds: no others are tried")
    else:
        _logger.info("the seeds that do not tune take beta %g and learning rate %g", *chosen)
    return chosen


def _groups(sweep, data, threads) -> list[list]:
    """Return the members that are trained together, group by group, in one list per thread."""
    members = sweep.members
    size = sweep.max_members or len(members)
    if sweep.max_members is None and not data.Y.is_cuda:
        width, rows = sweep.width or data.units, sweep.batch_size * data.patches
        fitting = members_in_cache(data.h, width, rows, data.Y.element_size())
        size = threads * max(1, fitting // threads)
    return [_dealt(group, threads) for group in _cut(members, size)]


def _dealt(members, threads) -> list[list]:
    """Return members in one list per thread, of almost equal lengths."""
    return _cut(members, -(-len(members) // threads))


def _cut(members, size) -> list[list]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def _work(features, settings) -> str:
    """Return what tells this training from any other; its clock does not."""
    arrays = {name: values for name, values in features.items() if name != "setup_seconds"}
    return fingerprint(settings, arrays, __file__)


def _state(finished, courses) -> dict:
    return {"finished": finished, "courses": [course.state() for course in courses]}


@contextmanager
def workers(threads: int):
    """Give a `map` that works with threads, each of which computes by itself alone."""
    with _blas_alone(), ThreadPoolExecutor(threads, "sgd", torch.set_num_threads, (1,)) as pool:
        try:
            yield pool.map
        finally:
            torch.set_num_threads(threads)  # for the threads that are made after these


def _blas_alone():
    """Return a context in which a product of NumPy's takes one thread, if threadpoolctl is there.

    Without it all works too, but threads may wait for each other's products.
    """
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")


def _run(courses, each):
    """Train courses side by side, `each` a map; yield after each epoch what there is to say."""
    data, sweep = courses[0].data, courses[0].sweep
    members = sum(len(course.members) for course in courses)
    list(each(Course.warm_up, courses))
    for course in courses:
        course.look()
    while courses[0].epoch < sweep.epochs:
        start = _now(data)
        list(each(Course.train_epoch, courses))
        seconds = (_now(data) - start) / members
        for course in courses:
            course.close_epoch(seconds)
            course.look()
        yield f"epoch {courses[0].epoch}/{sweep.epochs}, {seconds:.3g} s per network and epoch"
    for course in courses:
        course.warn_of_divergence()


def _now(data) -> float:
    """Return the clock's seconds once the device has done its work."""
    if data.Y.is_cuda:
        torch.cuda.synchronize(data.Y.device)
    return time.perf_counter()


def _joined(parts) -> tuple[list[dict], dict]:
    """Join histories, each epoch's rows together, and stacks of final networks."""
    rows = sorted((row for rows, _ in parts for row in rows), key=lambda row: row["epoch"])
    stacks = [parameters for _, parameters in parts]
    return rows, {name: torch.cat([stack[name] for stack in stacks]) for name in stacks[0]}
