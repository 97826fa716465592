"""Settings of a run of learned filters, and the names of its methods."""

from collections.abc import Sequence
from dataclasses import dataclass

TRUNCATED, RIDGE, SOFT_STEP, FREE = "truncated", "ridge", "soft step", "one gain per direction"
GRID, LEARNED = (TRUNCATED, RIDGE), (SOFT_STEP, FREE)


@dataclass(frozen=True)
class Settings:
    """Settings of a run.

    Attributes
    ----------
    betas : sequence of float
        Weight decays of the grid, in the paper's units.
    ranks : sequence of int
        Ranks of the grid.
    ridge : sequence of float
        Values of the ridge filters of the grid.
    gates : int
        Number of gates, P.
    tolerance : float
        Relative duality gap of every solve.
    evaluations : int
        Largest number of solves of each of the two descents.
    rank : int, optional
        Leading directions that ridge and learned filters see; all by default.
    """

    betas: Sequence[float]
    ranks: Sequence[int]
    ridge: Sequence[float]
    gates: int
    tolerance: float
    evaluations: int = 20
    rank: int | None = None

    @classmethod
    def of(cls, entry: dict) -> "Settings":
        """Return the settings of an entry of `learned_filters` in the config."""
        return cls(**{name: entry[name] for name in cls.__dataclass_fields__.keys() & entry.keys()})
