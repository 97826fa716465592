"""Learning rates that fall during a training, and the points at which it is evaluated."""

import math
from collections.abc import Callable

import numpy as np

# From the share of the training that is done to the factor on the learning rate.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
    # A tenth after half of the training, and again after three quarters (He et al. 2016).
    "steps": lambda done: 0.1 ** ((done >= 0.5) + (done >= 0.75)),
}


def log_spaced(last: int, count: int) -> set[int]:
    """Return about `count` log-spaced whole numbers from 1 to `last`, with `last` among them."""
    return {*np.geomspace(1, last, count).round().astype(int).tolist(), last}
