"""Parameters of rules, as Snakemake compares them with those of the last run."""


class Unordered(dict):
    """A mapping whose text is the same in any order of its keys, also of the mappings inside.

    Snakemake runs a job again if the text of one of its parameters has changed.
    """

    def __repr__(self) -> str:
        return repr(_sorted(self))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(entry) for entry in value] if isinstance(value, list) else value
