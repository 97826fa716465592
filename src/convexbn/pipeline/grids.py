"""Sweeps of a config: many runs from a few lines, every combination of the values of some keys."""

import itertools
from typing import Any


def expanded(config: dict) -> dict[str, dict]:
    """Return the sections of a config that have runs, with those of its sweeps.

    A run is named after its sweep and its values, as `ranks-digits-rank10-ridge0p01`: it keeps its
    name, and so its results, when values are added. The value null leaves a key out.

    Parameters
    ----------
    config : dict
        With `sweep`: name to `section` of the config, keys that are the same in all runs (`run`),
        and lists of values of those that vary (`over`).

    Raises
    ------
    ValueError
        If a name is taken, or a key is both in `run` and in `over`.
    """
    sections: dict[str, dict] = {}
    for name, sweep in config.get("sweep", {}).items():
        if both := sorted(sweep["over"].keys() & sweep["run"].keys()):
            raise ValueError(
                f"sweep '{name}' has the key '{both[0]}' in run, where it is the same for all, and "
                "in over, where it varies; remove one"
            )
        section = sweep["section"]
        runs = sections.setdefault(section, dict(config.get(section, {})))
        for values in itertools.product(*sweep["over"].values()):
            varied = dict(zip(sweep["over"], values, strict=True))
            run = "-".join([name, *(_word(key, value) for key, value in varied.items())])
            if run in runs:
                raise ValueError(
                    f"sweep '{name}' makes a run '{run}', of which there is one in {section} "
                    "already; rename the sweep or the run"
                )
            left = {key: value for key, value in varied.items() if value is not None}
            runs[run] = sweep["run"] | left
    return sections


def _word(key: str, value: Any) -> str:
    """Return a value as a part of a name of files."""
    if isinstance(value, dict):  # a filter
        return "".join(_word("", part) for part in value.values())
    if value is None:
        return f"no-{key}"
    return value if isinstance(value, str) else f"{key}{value}".replace(".", "p").replace("+", "")
