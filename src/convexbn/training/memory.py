"""Memory that a step of SGD goes over, which decides how many networks are trained together.

Imports nothing heavy: :mod:`convexbn.pipeline.footprint` uses the formulas too.
"""

# Bytes that a step on all networks trained together may go over: they fit in the cache of a CPU.
CACHE_BYTES = 32 * 2**20
HIDDEN_VALUES = 4  # arrays of a batch's hidden values in a step


def step_bytes(h: int, width: int, rows: int, size: int = 4, tensors: int = 2) -> int:
    """Return the bytes that a step of SGD goes over, for one network of one hidden layer.

    Parameters
    ----------
    h, width, rows : int
        Features, hidden units, rows of a batch.
    size : int
        Bytes of a number.
    tensors : int
        Tensors of the shape of the parameters: these and the optimizer's.
    """
    return size * width * (tensors * h + HIDDEN_VALUES * rows)


def members_in_cache(h: int, width: int, rows: int, size: int = 4) -> int:
    """Return the best number of networks of a sweep to train together on a CPU.

    Batched steps share the time that it takes to call each operation. But the bytes that a step
    goes over (:func:`step_bytes`) should stay in the cache until the next one.
    """
    return max(1, CACHE_BYTES // step_bytes(h, width, rows, size))
