"""The singular values of the data, and the energy that each rank keeps."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convexbn.reporting import plotting
from convexbn.reporting.methods import FULL, TRUNCATED, style_of
from convexbn.reporting.plotting import PERCENT

COLUMNS = ["rank", "singular_value", "energy", "used"]


def table(singular_values: np.ndarray, ranks: dict[str, int]) -> pd.DataFrame:
    """Return the numbers of the figure, in the columns `COLUMNS`, one row per singular value.

    Parameters
    ----------
    singular_values : array, shape (r,)
        Descending.
    ranks : dict
        The rank of each run; their rows are `used`.
    """
    squares = np.square(singular_values, dtype=np.float64)
    rank = np.arange(1, len(singular_values) + 1)
    used = np.isin(rank, list(ranks.values()))
    columns = (rank, singular_values, np.cumsum(squares) / squares.sum(), used)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw the singular values of the centred data (left) and the energy each rank keeps (right).

    Parameters
    ----------
    table : DataFrame
        Columns `COLUMNS`; the used ranks are marked in both panels.
    title : str
    """
    used = table[table["used"]]
    is_full = used["rank"] == len(table)
    methods = {TRUNCATED: used[~is_full], FULL: used[is_full]}
    figure, (panels,) = plotting.panels(2, height=2.8)
    for axes, column, scale in zip(panels, ("singular_value", "energy"), (1, PERCENT), strict=True):
        axes.plot(table["rank"], scale * table[column], color="0.3")
        for method, rows in methods.items():
            none = np.zeros(len(rows), dtype=bool)  # is uncertified: nothing was solved
            plotting.points(axes, rows["rank"], scale * rows[column], style_of(method), none)
        plotting.log_x(axes)
        plotting.ticks_at(axes.xaxis, np.unique([1, *used["rank"]]), share=0.08)
    panels[0].set(xlabel="index", ylabel="singular value", yscale="log")
    panels[1].set(xlabel="rank $k$ kept", ylabel="energy kept (%)")
    plotting.energy_scale(panels[1], used["rank"].to_numpy(), used["energy"].to_numpy())
    shown = [method for method in methods if len(methods[method])]
    plotting.legend(figure, plotting.handles(shown[::-1], linestyle="none"))
    figure.suptitle(title)
    return figure
