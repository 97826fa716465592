"""Cases of the benchmark's section of the config. Imports nothing heavy: Snakemake reads it."""


def scaling_cases(scaling: dict) -> dict[str, dict]:
    """Return the problems in which one size is varied at a time, by name.

    Parameters
    ----------
    scaling : dict
        `base`, a problem, and `vary`: values by the key of the size in that problem.
    """
    named = scaling_points(scaling).items()
    return {name: scaling["base"] | {key: value} for (key, value), name in named}


def scaling_points(scaling: dict) -> dict[tuple, str]:
    """Return the names of the problems by (size, value); the base has one name at all sizes."""
    base, vary = scaling["base"], scaling["vary"]
    return {
        (key, value): "scaling-base" if base[key] == value else f"scaling-{key}-{value}"
        for key, values in vary.items()
        for value in values
    }


def race_of(benchmark: dict, case: str) -> dict:
    """Return the settings of a race: limits, repeats and the accuracy at which it is over."""
    is_scaling = case not in benchmark["problems"]
    entry = benchmark["scaling"] if is_scaling else benchmark
    target = entry["accuracy"] if is_scaling else min(benchmark["accuracies"])
    limits = {key: entry.get(key, benchmark[key]) for key in ("seconds", "repeats")}
    # This library solves first, precisely enough for its dual bound to resolve the target.
    return limits | {"memory": benchmark["memory"], "target": target, "tolerance": target / 10}
