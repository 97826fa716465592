"""What the benchmark's part of the config asks for. Imports nothing heavy: Snakemake reads it."""


def scaling_cases(scaling: dict) -> dict:
    """Return the problems in which one size is varied at a time, by name.

    Parameters
    ----------
    scaling : dict
        `base`, a problem, and `vary`: the size's key in it to its values.
    """
    named = scaling_points(scaling).items()
    return {name: scaling["base"] | {key: value} for (key, value), name in named}


def scaling_points(scaling: dict) -> dict:
    """Return (size, value) to the name of the problem; the base has one name in every row."""
    base, vary = scaling["base"], scaling["vary"]
    return {
        (key, value): "scaling-base" if base[key] == value else f"scaling-{key}-{value}"
        for key, values in vary.items()
        for value in values
    }


def race_of(benchmark: dict, case: str) -> dict:
    """Return how a problem is raced: limits, repeats and the accuracy at which a race is over."""
    is_scaling = case not in benchmark["problems"]
    entry = benchmark["scaling"] if is_scaling else benchmark
    target = entry["accuracy"] if is_scaling else min(benchmark["accuracies"])
    limits = {key: entry.get(key, benchmark[key]) for key in ("seconds", "repeats")}
    # This library solves first, and so well that its dual bound tells excesses at the target.
    return limits | {"memory": benchmark["memory"], "target": target, "tolerance": target / 10}
