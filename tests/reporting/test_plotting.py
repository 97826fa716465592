"""A figure is the same picture on every machine, whatever its user has set."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from convexbn.reporting import plotting

# A script of the workflow: it opens its log, draws and saves.
PROGRAM = """
import sys
from convexbn.pipeline import logs
logs.start("log")

import digits_like
from convexbn.experiments.headline.figures import accuracy
from convexbn.reporting import plotting, selection

convex, sgd = digits_like.convex_history(), digits_like.sgd_history()
runs = selection.collect(digits_like.evaluations(convex), sgd)
table = accuracy.table(runs, convex, sgd, digits_like.published(), "digits")
figure = accuracy.draw(table, "digits")
plotting.save(figure, "figure.pdf", "figure.png", {"commit": None})
"""
HOSTILE = """
backend: nonsense
figure.dpi: 37
figure.facecolor: red
savefig.dpi: 41
savefig.bbox: tight
savefig.transparent: True
savefig.facecolor: green
font.size: 20
font.family: serif
text.usetex: True
text.color: blue
text.hinting: none
axes.prop_cycle: cycler(color=["r", "k"])
axes.formatter.use_locale: True
axes.formatter.limits: 0, 0
axes.unicode_minus: False
axes.xmargin: 0.3
axes.titlelocation: left
lines.antialiased: False
lines.dashed_pattern: 1, 1
legend.fancybox: False
legend.edgecolor: red
path.sketch: 5, 50, 2
path.simplify: False
image.cmap: gray
mathtext.default: tt
figure.constrained_layout.h_pad: 0.4
xtick.direction: in
ytick.right: True
pdf.compression: 0
pdf.fonttype: 3
"""


def drawn(folder: Path, **settings) -> list[bytes]:
    """Draw in a process of its own, in this working directory; return PDF and PNG."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    helpers = [str(Path(__file__).parents[1]), kept.get("PYTHONPATH", "")]
    environment = kept | {"PYTHONPATH": os.pathsep.join(helpers)} | settings
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, (folder / "log").read_text()
    return [(folder / f"figure.{kind}").read_bytes() for kind in ("pdf", "png")]


def test_what_a_user_has_set_changes_no_byte_of_a_figure(tmp_path):
    """In the working directory, and in the folder of settings; no home, another language."""
    clean, hostile, settings = (tmp_path / name for name in ("clean", "hostile", "settings"))
    for folder in (clean, hostile, settings / "matplotlib"):
        folder.mkdir(parents=True)
    (hostile / "matplotlibrc").write_text(HOSTILE)
    (settings / "matplotlib/matplotlibrc").write_text(HOSTILE)
    expected = drawn(clean)
    found = drawn(
        hostile,
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        MATPLOTLIBRC=str(hostile / "matplotlibrc"),
        XDG_CONFIG_HOME=str(settings),
        XDG_CACHE_HOME=str(Path(matplotlib.get_cachedir()).parent),  # or all fonts are read again
        HOME=str(tmp_path / "nowhere"),
        LC_ALL="de_DE.UTF-8",
        SOURCE_DATE_EPOCH="0",
    )
    assert found == expected


def test_modules_that_draw_can_be_imported_where_a_notebook_names_its_backend():
    modules = "convexbn.experiments.headline.figures.rank", "convexbn.reporting.plotting"
    for module in modules:
        code = f"import {module}, os; print(os.environ.get('MPLBACKEND'))"
        environment = os.environ | {"MPLBACKEND": "module://missing_inline.backend_inline"}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True
        )
        assert run.stdout.split() == [b"None"]


@pytest.mark.parametrize("backend", ["agg", "svg"])
def test_the_style_ends_where_its_context_ends(backend):
    """Nor does it change how a user's windows are opened."""
    with matplotlib.rc_context({"font.size": 33.0, "text.usetex": True, "figure.dpi": 17.0}):
        matplotlib.rcParams["backend"] = backend
        before = dict(matplotlib.rcParams)
        with plotting.style():
            assert matplotlib.rcParams["font.size"] == 8
            assert matplotlib.rcParams["figure.dpi"] == matplotlib.rcParamsDefault["figure.dpi"]
            assert not matplotlib.rcParams["text.usetex"]
            assert matplotlib.rcParams["backend"] == backend
        assert dict(matplotlib.rcParams) == before
    matplotlib.rcParams["backend"] = "agg"


def test_the_source_of_a_published_value_is_no_formula(tmp_path):
    row = {"method": ["SGD"], "test_accuracy": [0.5], "source": [r"A $\frac$ B"]}
    with plotting.style():
        figure, axes = plotting.panels(1)
        axes[0, 0].plot([1, 2])
        plotting.legend(figure, plotting.levels(axes[0], pd.DataFrame(row)))
    plotting.save(figure, tmp_path / "a.pdf", tmp_path / "a.png", {})
    (words,) = figure.legends[0].get_texts()
    assert words.get_text() == r"SGD with BN, published (A \$\frac\$ B)"


@pytest.mark.parametrize("inches", [1.35, 2.75, 5.5])
@pytest.mark.parametrize(
    "ends", [(20, 310), (11, 95), (3, 1900), (1, 1e5), (0.02, 0.9), (120, 260), (5.5, 9)]
)
def test_numbers_along_a_logarithmic_axis_do_not_touch(inches, ends):
    with plotting.style():
        figure, ((axes, _),) = plotting.panels(2, width=2 * inches)
        axes.plot(ends, ends)
        plotting.log_x(axes)
        figure.draw_without_rendering()
    low, high = axes.get_xlim()
    shown = [label for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = [label.get_window_extent() for label in shown]
    assert len(boxes) >= 2
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
