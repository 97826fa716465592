"""Memory that solving takes, and the largest sizes that fit where there is not enough.

The formulas are upper bounds of the bytes that are held at once besides the inputs, for n samples,
blocks of p = r + 1 weights, P gates, C outputs and K patches. The gated program takes

    K n (16 p + (1 + c + k) P) + 8 V n C + 24 k^2 P + w p P C + pass
        + (8 k + 5) K n m + (28 k + 16) m^2:

its design in float64, float32 and summed over patches; masks as bytes, once on the device, once for
each class that selects its own candidates (c = C; with the nuclear norm 1), once for each part of
the Newton system in use; V vectors like the predictions; w bytes per weight for the iterates of the
solver and the referee; and the intermediates of passes (:func:`pass_bytes`). The preconditioner
has m directions, with their Gram matrix, in each of k parts (the columns that are solved side by
side, :func:`columns_at_once`, or that the cross-entropy couples while their norms are apart; else
1), and some copies of them while it is made. Small problems keep masks as numbers. Near the optimum
m is far below the number of gates. But at first every block can be active, so the bound counts all
of them: P, or P min(p, C) singular values, plus p eigenvectors of the design where the loss is not
quadratic.

The derivative of a solution has Newton systems in float64, twice as large, and with its gradients
16 more copies of the weights and 6 of the design.

The exact program of the ReLU network takes, with d = 2 P p, the most dimensions that the active
faces can have (again far fewer at the optimum), and j = min(2 P, 4 (n + 1)),

    8 (R P K n + F P p^2 + S p (K n + P)) + batch + max(24 K n d + 24 min(n, d)^2, 64 j^2):

for R vectors of signs and multipliers per arrangement, F factors per block, S copies of design and
weights, the activations of one batch of projections, and the larger of a Newton system and the
singular value decomposition that makes the solution sparse. With BN after the ReLU, designs and
constraints are formed, and factorized in each step; with p one larger for the bias,

    8 (G P n (p + 1) + H P n + F P (p + 1)^2 + 2 n^2) + 64 j^2.

Each includes the memory of the libraries themselves, `OVERHEAD`, and for large gated programs on a
CPU that of the products which they compile, `COMPILED_BYTES`. Imports nothing heavy:
:mod:`convexbn.pipeline.footprint` uses the formulas too.
"""

from convexbn.programs import limits

# Bytes that the intermediates of one pass over the design may take: in the cache of a CPU, while a
# GPU wants few large products. With one thread 16 MiB take up to 1.4 times as long as 4, and 2 as
# long as 4; with several, each product waits for all threads, and where others use the cores too, 2
# MiB take seven times as long as 16.
PASS_BYTES, PASS_BYTES_ON_GPU = 4 * 2**20, 256 * 2**20
# Least number of samples of a pass at once, as every product reads all blocks.
PASS_ROWS = 512

# Multiplications of a pass from which a CPU takes the float32 products of oneDNN, and the bytes of
# what oneDNN compiles, for each shape that occurs and up to 1,024 of them: 0.65 MB each.
LARGE_PASS, COMPILED_BYTES = 2**28, 768 * 2**20

# Entries of the masks, of all outputs together, up to which these are solved side by side.
SIDE_BY_SIDE = 2**22
FEW = 2**20  # entries of the masks up to which the solver keeps them as numbers

# The constants of the formulas, measured by tests/programs/test_memory.py.
OVERHEAD = 32 * 2**20
WEIGHT_BYTES = {"group": 96, "nuclear": 160}  # w
PREDICTION_VECTORS = 30  # V
ROW_VECTORS, DENSE_ROW_VECTORS = 16, 24  # R, H
BLOCK_FACTORS = 24  # F
DESIGN_COPIES = 6  # S
DENSE_DESIGNS = 18  # G
LAYER_DESIGNS, LAYER_WEIGHTS = 6, 16
BATCH_BYTES = 2 * 2**26  # twice that of the projections on cones


def pass_rows(p: int, P: int, C: int, size: int = 4, device: str = "cpu") -> int:
    """Return the samples that a pass over the design takes at once; numbers have `size` bytes."""
    budget = PASS_BYTES if device == "cpu" else PASS_BYTES_ON_GPU
    return max(PASS_ROWS, budget // _pass_row(p, P, C, size))


def pass_bytes(n: int, p: int, P: int, C: int, size: int = 8, device: str = "cpu") -> int:
    """Return the bytes of the intermediates of one pass over n samples."""
    return min(n, pass_rows(p, P, C, size, device)) * _pass_row(p, P, C, size)


def _pass_row(p: int, P: int, C: int, size: int) -> int:
    """Return the bytes of one sample: its masks as numbers, and its products (narrow, C)."""
    return size * (P + min(p, P) * (1 + C))


def gated_bytes(
    n: int,
    p: int,
    P: int,
    C: int,
    patches: int = 1,
    *,
    loss: str = "squared",
    penalty: str = "group",
    device: str = "cpu",
    differentiable: bool = False,
    together: int | None = None,
) -> int:
    """Return an upper bound of the bytes of a gated solve, besides the inputs.

    Parameters
    ----------
    n, p, P, C, patches : int
        Samples, r + 1, gates, outputs, patches per sample.
    loss : {"squared", "logistic", "squared_hinge", "cross_entropy"}
    penalty : {"group", "nuclear"}
    device : {"cpu", "cuda"}
    differentiable : bool
        Whether its derivative is computed too, as by :class:`convexbn.ConvexLayer`.
    together : int, optional
        Outputs side by side where they do not depend on each other; by default the fewest that are.
    """
    rows, group = patches * n, penalty == "group"
    selections = C if group else 1  # c
    least = side_by_side(n, P, C, patches) if device == "cpu" else 1
    together = C if loss == "cross_entropy" else together or least
    parts = together if group else 1  # k
    few = 11 if rows * P <= FEW else 0
    directions = P * (1 if group else min(p, C)) + (0 if loss == "squared" else p)  # m
    masks = (1 + few) * (1 + selections + parts) * P
    held = rows * (16 * p + masks) + 8 * PREDICTION_VECTORS * n * C + 24 * parts**2 * P
    weights = WEIGHT_BYTES[penalty] * p * P * C
    newton = (8 * parts + 5) * rows * directions + (28 * parts + 16) * directions**2
    if differentiable:
        held += 8 * LAYER_DESIGNS * rows * p
        weights += 8 * LAYER_WEIGHTS * p * P * C
        newton *= 2
    flat = pass_bytes(rows, P * parts, P * parts, 1, device=device) if parts > 1 else 0
    passes = max(flat, pass_bytes(rows, p, P, C, device=device))
    compiled = COMPILED_BYTES if compiled_multiplications(rows, p, P, device) else 0
    return OVERHEAD + compiled + held + weights + newton + passes


def compiled_multiplications(rows: int, p: int, P: int, device: str = "cpu") -> int:
    """Return those of a pass over the design, if its products are to be those of oneDNN; else 0."""
    multiplications = rows * p * P
    return multiplications if device == "cpu" and multiplications >= LARGE_PASS else 0


def side_by_side(n: int, P: int, C: int, patches: int = 1) -> int:
    """Return how many outputs are solved side by side on a CPU, if they are independent.

    All of a small problem, whose time is that of starting operations. Of a large one none, as each
    iteration would go on until the slowest output is done.
    """
    return C if patches * n * P * C <= SIDE_BY_SIDE else 1


def columns_at_once(
    n: int, p: int, P: int, C: int, patches: int = 1, *, device: object = None, **terms: str
) -> int:
    """Return how many independent outputs of a gated program are solved side by side.

    On a GPU as many as fit, as each operation has to be started; on a CPU see :func:`side_by_side`.
    The parameters are those of :func:`gated_bytes`.
    """
    kind = str(device or "cpu")
    if kind == "cpu":
        return side_by_side(n, P, C, patches)
    free = available(kind)

    def fits(k):
        needed = gated_bytes(n, p, P, C, patches, device=kind, together=k, **terms)
        return free is None or needed <= free

    return max(1, _largest(fits, C + 1))


def exact_bytes(n: int, p: int, P: int, patches: int = 1, *, model: str = "relu") -> int:
    """Return an upper bound of the bytes of an exact solve, besides the inputs.

    Parameters
    ----------
    n, p, P, patches : int
        Samples, columns of the design, arrangements, patches per sample.
    model : {"relu", "relu_bn"}
    """
    rows, fewest = patches * n, 64 * min(2 * P, 4 * (n + 1)) ** 2
    if model == "relu_bn":
        p = p + 1
        matrices = DENSE_DESIGNS * P * rows * p + BLOCK_FACTORS * P * p**2 + 2 * n**2
        return OVERHEAD + 8 * (matrices + DENSE_ROW_VECTORS * P * rows) + fewest
    held = ROW_VECTORS * P * rows + BLOCK_FACTORS * P * p**2 + DESIGN_COPIES * p * (rows + P)
    batch = min(BATCH_BYTES, 2 * 8 * 2 * P * rows)
    faces = 2 * P * p  # d
    newton = 24 * (rows * faces + min(n, faces) ** 2)
    return OVERHEAD + 8 * held + batch + max(newton, fewest)


def available(device: str = "cpu") -> int | None:
    """Return the bytes that are free on a device, or None where the system does not say.

    On a CPU it is what the tightest limit leaves (:func:`convexbn.programs.limits.free`).
    """
    if str(device).startswith("cuda"):
        import torch

        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reserved  # PyTorch holds it without using it
    return min(limits.free().values(), default=None)


def check(
    n: int,
    p: int,
    P: int,
    C: int,
    patches: int = 1,
    *,
    model: str = "gated",
    device: object = None,
    budget: int | None = None,
    **terms: str | bool,
) -> None:
    """Raise ValueError for a program that does not fit, before anything large is allocated.

    Parameters
    ----------
    n, p, P, C, patches : int
        As for :func:`gated_bytes`.
    model : {"gated", "relu", "relu_bn"}
    device : str or torch.device or None
        None is the CPU.
    budget : int, optional
        Bytes that may be used; by default those free on the device.
    **terms
        `loss`, `penalty` and `differentiable` of :func:`gated_bytes`.

    Raises
    ------
    ValueError
        With the bytes needed, the bytes free, the largest P and n that would fit, and the limit.
    """
    device = str(device or "cpu")
    free = available(device) if budget is None else budget

    def needed(n, P):
        if model != "gated":
            return exact_bytes(n, p, P, patches, model=model)
        return gated_bytes(n, p, P, C, patches, device=device, **terms)

    if free is None or needed(n, P) <= free:
        return
    gates = _largest(lambda value: needed(n, value) <= free, P)
    samples = _largest(lambda value: needed(value, P) <= free, n)
    raise ValueError(
        f"n = {n}, r + 1 = {p}, P = {P}, C = {C}"
        + (f", {patches} patches" if patches > 1 else "")
        + f" need up to {_readable(needed(n, P))}, and {_readable(free)} are free on {device}; "
        + _advice(gates, samples)
        + ("" if device.startswith("cuda") or budget is not None else _tightest())
    )


def _largest(fits, high: int) -> int:
    """Return the largest whole number below `high` that fits, 0 if none does, by bisection."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _advice(gates, samples) -> str:
    options = [f"P = {gates} gates" if gates else "", f"n = {samples} samples" if samples else ""]
    fitting = " or ".join(option for option in options if option)
    return f"{fitting} would fit" if fitting else "lower r, or take a device with more memory"


def _tightest() -> str:
    """Return words for what limits the memory of the CPU, if that is known."""
    left = limits.free()
    name = min(left, key=left.__getitem__, default="")
    return f"; the tightest limit is {name}" if name else ""


def _readable(size) -> str:
    """Return bytes in the largest unit that leaves a whole number of them."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
