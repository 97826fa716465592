"""Tables as self-contained HTML pages for the report."""

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd

from convexbn.reporting.selection import filter_words

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; font-size: 14px; margin: 2em; color: #222; }}
table {{ border-collapse: collapse; }}
caption {{ text-align: left; padding-bottom: 0.8em; font-weight: bold; }}
th, td {{ padding: 0.3em 0.6em; text-align: left; border-bottom: 1px solid #ddd; }}
thead th {{ border-bottom: 2px solid #222; vertical-align: bottom; }}
p {{ max-width: 50em; line-height: 1.4; }}
</style>
</head>
<body>
{table}
<p>{note}</p>
</body>
</html>
"""

_METHODS_NOTE = (
    "Mean ± standard deviation over the seeds (one seed has no deviation), at the last epoch or "
    "final iterate of the setting with the best mean validation accuracy. Beta is the weight "
    "decay; rank is the number of singular directions that the program sees, with the share of the "
    "data's energy they keep. Calibration error (15 bins) and negative log-likelihood (NLL) are of "
    "the softmax of the scores at the temperature that fits the validation images best. Objectives "
    "are comparable at equal beta and rank only. The relative gap bounds the distance of the "
    "objective from the optimum; methods trained by SGD have no such bound. Seconds are the "
    "training time of one seed, with the SVD and, on a path of all seeds, the solves at larger "
    "betas, but without the search over settings. The last column names the parts of a setting "
    "that are the smallest, the largest or the only value tried."
)
_THEOREMS_NOTE = (
    "Each row solves the convex program of one small problem of random data; both sides of the "
    "statement's equation have the same optimum. 'Recovered network' is the training objective of "
    "the network made from the solution, 'way back' the relative difference between it and the "
    "program's objective at that network's blocks. 'Best trained network' is the best of many "
    "descents from random starts, 'relative excess' its relative distance above the optimum. "
    "For the closed forms the gap is the relative distance between the formula and the dual bound "
    "of the exact program over all arrangements. n samples, d features (of a patch), C outputs, K "
    "patches, P arrangements, beta the weight decay; seconds are those of the solver."
)
_UNCERTIFIED_NOTE = " † A solve of this setting missed its tolerance and is not certified."


def page(frame: pd.DataFrame, title: str, note: str) -> str:
    """Return an HTML page, style included, with one table, its title and a note below it."""
    table = html_of(frame)
    caption = f"<caption>{escape(title)}</caption>\n  <thead>"
    table = table.replace("<thead>", caption, 1)
    return _PAGE.format(title=escape(title), table=table, note=escape(note))


def html_of(frame: pd.DataFrame) -> str:
    """Return a table as HTML, what is in it escaped."""
    return frame.to_html(index=False, border=0, justify="left", na_rep="")


def methods_page(methods: pd.DataFrame) -> str:
    """Return the table of chosen settings as a page."""
    note = _METHODS_NOTE + (_UNCERTIFIED_NOTE if methods["certified"].eq(False).any() else "")
    title = "Methods at their settings chosen on validation data"
    return page(methods_table(methods), title, note)


def methods_table(methods: pd.DataFrame) -> pd.DataFrame:
    """Return the table of chosen settings as readers see it, accuracies in percent."""
    uncertified = methods["certified"].eq(False)
    shares = methods["energy"].map(_unless_nan(" ({:.1%})"))
    columns = {
        "dataset": methods["dataset"],
        "method": methods["method"] + uncertified.map({True: " †", False: ""}),
        "test accuracy (%)": _plus_minus(methods, "test_accuracy", "{:.1f}", 100),
        "train accuracy (%)": _plus_minus(methods, "train_accuracy", "{:.1f}", 100),
        "calibration error (%)": _plus_minus(methods, "test_ece", "{:.1f}", 100),
        "NLL": _plus_minus(methods, "test_nll", "{:.3f}"),
        "objective": _plus_minus(methods, "objective", "{:.4g}"),
        "relative gap": methods["relative_gap_mean"].map(_unless_nan("{:.1e}")),
        "neurons": _plus_minus(methods, "neurons", "{:.0f}"),
        "seconds": _plus_minus(methods, "seconds", "{:.3g}"),
        "seeds": methods["seeds"],
        "run": methods["run"],
        "beta": methods["beta"].map("{:.3g}".format),
        "learning rate": methods["learning_rate"].map(_unless_nan("{:.3g}")),
        "rank (energy)": methods["rank"].map(_unless_nan("{:.0f}")) + shares,
        "filter": list(map(filter_words, methods["filter_kind"], methods["filter_value"])),
        "gates": methods["gates"].map(_unless_nan("{:.0f}")),
        "optimizer": _words(methods["optimizer"]),
        "batch size": methods["batch_size"].map(_unless_nan("{:.0f}")),
        "at an end of what was tried": methods["edges"].str.replace("_", " "),
        "only value tried": methods["fixed"].str.replace("_", " "),
    }
    return pd.DataFrame(columns)


def theorems_page(theorems: pd.DataFrame) -> str:
    """Return the table of :func:`convexbn.experiments.theory.theorems.theorems` as a page."""
    note = _THEOREMS_NOTE + ("" if theorems["certified"].all() else _UNCERTIFIED_NOTE)
    return page(theorems_table(theorems), "The theorems in numbers", note)


def theorems_table(theorems: pd.DataFrame) -> pd.DataFrame:
    """Return the same table as readers see it."""
    scientific = _unless_nan("{:.1e}")
    sizes = ["n", "d", "C", "K", "depth", "P", "beta"]
    columns = {
        "id": theorems["id"] + theorems["certified"].map({True: "", False: " †"}),
        "statement": theorems["statement"],
        "loss": theorems["loss"],
        "penalty": theorems["penalty"],
        **{name: theorems[name].map("{:g}".format) for name in sizes},
        "convex optimum": theorems["convex_optimum"].map("{:.8g}".format),
        "recovered network": theorems["recovered_objective"].map("{:.8g}".format),
        "relative difference": theorems["relative_difference"].map(scientific),
        "way back": theorems["round_trip_difference"].map(scientific),
        "best trained network": theorems["best_trained"].map("{:.8g}".format),
        "relative excess": theorems["relative_excess"].map(scientific),
        "relative gap": theorems["relative_gap"].map(scientific),
        "violation": theorems["violation"].map(scientific),
        "seconds": theorems["seconds"].map("{:.2g}".format),
    }
    return pd.DataFrame(columns)


def claims_page(claims: pd.DataFrame) -> str:
    """Return the table of claims as a page."""
    note = (
        "Each row is a statement of the paper, or a finding of pilot runs, that this run checks by "
        "itself. 'Not resolved' means that the run cannot tell: too few seeds, an interval that "
        "contains zero, or a solve without certificate. p is the p-value of no difference; "
        "Holm's correction is for a statement that is tested several times. If a statement was not "
        "run, the measured column says why."
    )
    return page(claims, "Claims and what was measured", note)


def _unless_nan(form: str) -> Callable[[float], str]:
    return lambda value: "" if np.isnan(value) else form.format(value)


def _words(column: pd.Series) -> list[str]:
    return [word if isinstance(word, str) else "" for word in column]


def _plus_minus(table: pd.DataFrame, measure: str, form: str, scale: float = 1) -> list[str]:
    means, stds = scale * table[f"{measure}_mean"], scale * table[f"{measure}_std"]
    return [
        _unless_nan(form)(mean) + _unless_nan(f" ± {form}")(std)
        for mean, std in zip(means, stds, strict=True)
    ]
