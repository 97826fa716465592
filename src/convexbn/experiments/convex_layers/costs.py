"""C5, what a derivative of the BN program costs: seconds of backward against those of forward."""

import time
from collections.abc import Sequence

from convexbn.experiments.convex_layers.training_programs import Terms, TrainingProgram, draw


def measure(settings: dict, cases: Sequence[Terms], seed: int) -> list[dict]:
    """Time calls of new layers, which start from zero weights, and their backward passes.

    Parameters
    ----------
    settings : dict
        Sizes of the programs, with several values of n as `samples`; `tolerances` of the layer;
        number of `repeats`, after one call that does not count.
    cases : sequence of Terms
    seed : int

    Returns
    -------
    list of dict
        One row per number of samples, terms, tolerance and repetition.
    """
    rows, first = [], {**settings, "n": min(settings["samples"])}
    _times(draw(first, cases[0], seed), max(settings["tolerances"]))  # loads what is loaded once
    for n in settings["samples"]:
        for terms in cases:
            program = draw({**settings, "n": n}, terms, seed)
            names = {"part": "cost", "loss": terms.loss, "penalty": terms.penalty}
            sizes = {"C": program.Y.shape[1], "n": n, "seed": seed}
            for tol in settings["tolerances"]:
                times = [_times(program, tol) for _ in range(settings["repeats"])]
                rows += [{**names, **sizes, "tolerance": tol, **found} for found in times]
    return rows


def _times(program: TrainingProgram, tol: float) -> dict[str, float]:
    data = [value.clone() for value in program.data.values()]
    for value in data:
        value.requires_grad_()
    layer, start = program.layer(tol), time.perf_counter()
    W = layer(*data)
    solved = time.perf_counter()
    W.backward(program.v)
    return {"forward_s": solved - start, "backward_s": time.perf_counter() - solved}
