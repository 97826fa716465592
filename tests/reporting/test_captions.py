"""Captions: their titles, their variables, and that nothing in them becomes markup."""

import pytest
from docutils.utils import SystemMessage
from jinja2 import UndefinedError
from workflow_runs import ROOT

from convexbn.reporting import captions

TEXTS = sorted((ROOT / "workflow" / "report").rglob("*.rst"))


def written(folder, text):
    path = folder / "caption.rst"
    path.write_text(text)
    return captions.rendered(path, {"dataset": "digits"})


def test_what_is_bold_at_the_beginning_is_the_title(tmp_path):
    own = written(tmp_path, "**Accuracy on {{ snakemake.wildcards.dataset }}.**\n\n*Left:* a\n")
    assert own.title == "Accuracy on digits"
    assert own.body == "<p><em>Left:</em> a</p>"
    same = written(tmp_path, "**Time.** Bars are *medians*.")
    assert same == ("Time", "<p>Bars are <em>medians</em>.</p>")


def test_without_a_title_it_is_empty(tmp_path):
    text = written(tmp_path, "Bars, **not** a title.")
    assert text == ("", "<p>Bars, <strong>not</strong> a title.</p>")


def test_markup_in_a_caption_is_text(tmp_path):
    text = written(tmp_path, "**a < b.**\n\n<script>alert(1)</script> & more")
    assert text.title == "a &lt; b"
    assert "<script" not in text.body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text.body


def test_no_caption_brings_html_or_another_file_along(tmp_path):
    with pytest.raises(SystemMessage, match="raw"):
        written(tmp_path, ".. raw:: html\n\n   <script>alert(1)</script>\n")
    with pytest.raises(SystemMessage, match="include"):
        written(tmp_path, ".. include:: caption.rst\n")


def test_a_caption_with_a_mistake_is_refused(tmp_path):
    with pytest.raises(UndefinedError, match="kernel"):
        written(tmp_path, "{{ snakemake.wildcards.kernel }}")
    with pytest.raises(SystemMessage, match="strong start-string"):
        written(tmp_path, "**never closed")


def test_formulas_need_no_style_sheet(tmp_path):
    assert "<math" in written(tmp_path, r"by :math:`\eta^2 \|g\|^2`").body


@pytest.mark.parametrize("path", TEXTS, ids=[str(path.relative_to(ROOT)) for path in TEXTS])
def test_every_text_of_the_project_has_a_title_and_words(path):
    text = captions.rendered(path, {"dataset": "digits", "kind": "noise"})
    assert text.title or path.name == "workflow.rst"  # which is Snakemake's own front page
    assert len(text.body) > 80
