"""When a training is looked at, and how its learning rate falls. Imports nothing heavy."""

import math

import numpy as np

# Factor on the learning rate, by the share of training that is done.
SCHEDULES = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + math.cos(math.pi * done)),
}


def log_spaced(last: int, count: int) -> set[int]:
    """Return about `count` log-spaced whole numbers from 1 to `last`, which is always one."""
    return {*np.geomspace(1, last, count).round().astype(int).tolist(), last}
