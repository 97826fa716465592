"""Cases of the benchmark's section of the config. Imports nothing heavy: Snakemake reads it."""

CONTESTANTS = ["convexbn", "fista", "pyscnn", "skglm", "celer", "adelie", "clarabel", "scs"]
_GATED_ALONE = {"fista", "skglm", "celer", "adelie"}  # contestants that solve no other program
_FIGURES = {
    "curves": "convexbn.experiments.benchmark.figures.curves",
    "times": "convexbn.experiments.benchmark.figures.times",
    "memory": "convexbn.experiments.benchmark.figures.memory",
    "scaling": "convexbn.experiments.benchmark.figures.scaling",
    "passes": "convexbn.experiments.benchmark.rates.passes",
    "engine": "convexbn.experiments.benchmark.rates.engine",
    "columns": "convexbn.experiments.benchmark.figures.columns",
}


def all_cases(benchmark: dict) -> dict:
    """Return the problems that are raced, by name: those of the config and those of the scaling."""
    if not benchmark:
        return {}
    return benchmark["problems"] | scaling_cases(benchmark["scaling"])


def check(benchmark: dict) -> None:
    """Check that passes are those of problems, and that peers solve the program they race on.

    Raises
    ------
    ValueError
        The message says which entry is wrong.
    """
    problems = benchmark["problems"]
    unknown = [name for name in benchmark.get("passes", []) if name not in problems]
    if unknown:
        raise ValueError(
            f"benchmark: passes has {', '.join(map(repr, unknown))}, which is no problem; the "
            f"problems are {', '.join(problems)}"
        )
    for name, case in all_cases(benchmark).items():
        unfit = sorted(_GATED_ALONE & set(case["peers"]))
        if case.get("model", "gated") != "gated" and unfit:
            raise ValueError(
                f"benchmark: problem '{name}' is of model {case['model']!r}, and its peers "
                f"{', '.join(unfit)} solve the gated program alone; leave them out"
            )


def on_data(benchmark: dict) -> list[tuple[str, dict, bool]]:
    """Return the entries on a data set, what they are, and whether it must be of whole images."""
    named = [(f"problem '{name}'", case, True) for name, case in all_cases(benchmark).items()]
    if "columns" in benchmark:
        named.append(("columns", benchmark["columns"], True))
    sweeps = benchmark.get("engine", {}).items()
    return named + [(f"engine '{name}'", sweep, False) for name, sweep in sweeps]


def figures(benchmark: dict) -> dict[str, str]:
    """Return the functions that draw, by the name of their figure and table."""
    if not benchmark:
        return {}
    absent = {"engine", "columns"} - benchmark.keys()
    return {name: function for name, function in _FIGURES.items() if name not in absent}


def races(benchmark: dict, kind: str) -> list[str]:
    """Return the races, named `case.solver`, of the kind "problems" or "scaling"."""
    if not benchmark:
        return []
    is_problem = kind == "problems"
    cases = benchmark["problems"] if is_problem else scaling_cases(benchmark["scaling"])
    return [f"{name}.{solver}" for name in cases for solver in ["convexbn", *cases[name]["peers"]]]


def races_before(case: str, solver: str) -> list[str]:
    """Return the race that tells a peer when it has arrived: this library's, for the dual bound."""
    return [] if solver == "convexbn" else [f"{case}.convexbn"]


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
