"""The knobs: their names, and which of them a config turns."""

from typing import NamedTuple

BN, CROSS_ITERATION = "BN", "cross-iteration BN"
NORMALIZATIONS = (BN, CROSS_ITERATION)

NONE, LAST, ALL, RESCALED = "none", "last layers", "all layers", "rescaled"
# What becomes of the weights: no decay; decay of BN and the output layer, as in the main paper; of
# the first layer, too; or that of the main paper with filters of the first layer set to norm 1.
DECAYS = (NONE, LAST, ALL, RESCALED)
WORDS = {
    NONE: "no decay",
    LAST: "decay of the last layers",
    ALL: "decay of all layers",
    RESCALED: "rescaled first layer",
}

COLUMNS = [
    *("seed", "normalization", "batch_size", "decay", "learning_rate", "epochs", "diverged"),
    *("train_loss", "train_accuracy", "validation_accuracy", "test_accuracy", "seconds"),
]


class Knob(NamedTuple):
    """What is turned, one thing at a time: the others are the headline's."""

    normalization: str
    batch_size: int
    decay: str

    @property
    def words(self) -> str:
        """The knob for readers."""
        if self.decay != LAST:  # at the headline's batch size
            return WORDS[self.decay]
        return f"{self.normalization}, batch {self.batch_size}"


def knobs(settings: dict) -> list[Knob]:
    """Return the knobs of an entry of the config, without repeats; see the function `measure`."""
    batches = [Knob(kind, b, LAST) for kind in NORMALIZATIONS for b in settings["batch_sizes"]]
    decays = [Knob(BN, settings["batch_size"], decay) for decay in DECAYS]
    return list(dict.fromkeys([*batches, *decays]))
