"""Tables that a spreadsheet or an editor has had: read rightly, or refused with file and line."""

import csv
import io
import re

import numpy as np
import pandas as pd
import pytest

from convexbn.pipeline import artifacts, tables

FRAME = pd.DataFrame(
    {
        "method": ["convex", "SGD", "größe; oder, mehr"],
        "accuracy": [0.85, np.nan, -1.5e-7],
        "count": [1, 2, 3],
        "certified": [True, False, True],
    }
)
PLAIN = FRAME.to_csv(index=False)


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "edited.csv"
    path.write_bytes(text.encode(encoding))
    return path


def resaved(text, separator=",", decimal="."):
    """A table as a spreadsheet writes it: every line through its cells, the comment too."""
    rows = list(csv.reader(io.StringIO(text)))
    widest = max(map(len, rows))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\r\n")
    for row in rows:
        number = re.compile(r"-?\d+\.\d+(e-\d+)?")
        cells = [c.replace(".", decimal) if number.fullmatch(c) else c for c in row]
        writer.writerow(cells + [""] * (widest - len(cells)))
    return buffer.getvalue().replace("True", "TRUE").replace("False", "FALSE")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text",
    {
        "plain": PLAIN,
        "semicolons": resaved(PLAIN, ";"),
        "decimal commas": resaved(PLAIN, ";", ","),
        "tabs": resaved(PLAIN, "\t", ","),
        "said separator": "sep=;\r\n" + resaved(PLAIN, ";", ","),
        "quoted decimal commas": resaved(PLAIN, ",", ","),
        "blank lines": "\n\n" + PLAIN.replace("\n", "\n\n , , , \n") + "\n,,,\n",
        "spaces": PLAIN.replace(",1,", " , 1 ,").replace("method,", " method ,"),
        "old line ends": PLAIN.replace("\n", "\r"),
        "no last line end": PLAIN.rstrip("\n"),
        "trailing separators": PLAIN.replace("\n", ",,\n"),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_spreadsheets_make_of_a_table_is_read(tmp_path, text, encoding):
    read = artifacts.read_table(write(tmp_path, text[1], encoding))
    pd.testing.assert_frame_equal(read, FRAME)


@pytest.mark.parametrize(
    ("separator", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", ",")]
)
def test_a_table_of_ours_comes_back_from_a_spreadsheet(tmp_path, separator, decimal):
    """Its line of provenance is split at the commas and quoted: it still tells the columns."""
    artifacts.write_table(tmp_path / "t.csv", FRAME, {"commit": None, "versions": {"a": "1"}})
    text = resaved((tmp_path / "t.csv").read_text("utf-8"), separator, decimal)
    saved = write(tmp_path, text, "utf-8-sig")
    pd.testing.assert_frame_equal(artifacts.read_table(saved), FRAME)
    assert artifacts.read_provenance(saved) == {"commit": None, "versions": {"a": "1"}}
    lost = re.sub(r"(?m)^([^#\"]*)(count)", r"\1amount", text)
    with pytest.raises(ValueError, match=r"edited\.csv lacks the column count that it was written"):
        artifacts.read_table(write(tmp_path, lost))


EDITS = {
    "a number": lambda text: text.replace("0.85", "0.95"),
    "a word": lambda text: text.replace("SGD", "SDG"),
    "a row lost": lambda text: text[: text.rindex("größe")],
    "two rows swapped": lambda text: text.replace("convex", "_").replace("SGD", "convex"),
    "a column more": lambda text: text.replace(",True", ",True,1").replace("\nm", "\nx,m"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_table_of_ours_that_was_edited_is_refused(tmp_path, name):
    artifacts.write_table(tmp_path / "t.csv", FRAME, {"commit": None})
    path = write(tmp_path, EDITS[name]((tmp_path / "t.csv").read_text("utf-8")))
    with pytest.raises(ValueError, match=r"edited\.csv.*(is not as it was written|expected)"):
        artifacts.read_table(path)


def test_tables_without_a_checksum_are_read_and_named(tmp_path, caplog):
    """Those of older versions, and those of the user."""
    artifacts.write_table(tmp_path / "t.csv", FRAME, {"commit": None})
    ours = (tmp_path / "t.csv").read_text("utf-8").splitlines(keepends=True)
    older = re.sub(r', "checksum": "\w+"', "", ours[0])
    assert older != ours[0]
    for note in (older, ""):
        path = write(tmp_path, "".join([note, *ours[1:]]).replace("0.85", "0.95"))
        assert artifacts.read_table(path)["accuracy"][0] == 0.95
        assert artifacts.unchecked([tmp_path / "t.csv", path]) == [str(path)]
        assert "edited.csv carries no checksum" in caplog.text
        caplog.clear()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"edited\.csv is empty; expected a first line"),
        ("a,b\n1,2\n\n3\n", r"edited\.csv, line 4: expected 2 values, for a, b, got 1: '3'"),
        ("a,b\n0,85,x\n", r"edited\.csv, line 2: expected 2 values.*got 3.*decimal comma"),
        ("a,a\n1,2\n", r"edited\.csv, line 1: expected each column .* got 'a', 'a'; name or rem"),
        ("a,,b\n1,2,3\n", r"edited\.csv, line 1: expected each column .* got 'a', '', 'b'"),
        ("a;b,c\n1;2,3\n", r"edited\.csv: expected one separator .* found ',' and ';'"),
        ('a,b\n1,"2\n3,4\n', r"edited\.csv, line 2: .*check its quotation marks"),
        ('a,b\n1,"2"3\n', r"edited\.csv, line 2: .*check its quotation marks"),
        (
            "a;b\n0,5;x\n0.6;y\n",
            r"edited\.csv, column a: .* got 0,5 in line 2 and 0\.6 in line 3; write points",
        ),
        ('a,b\n"1,234",x\n', r"edited\.csv, column a: .* got 1,234 in line 2 .*; write points"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        artifacts.read_table(write(tmp_path, text))


def test_other_encodings_are_refused_with_the_place(tmp_path):
    text = "a,source\n1,x\n2,Müller\n"
    with pytest.raises(ValueError, match=r"edited\.csv, line 3, character 4: .* 0xfc; .*CSV UTF-8"):
        artifacts.read_table(write(tmp_path, text, "latin-1"))
    with pytest.raises(ValueError, match=r"edited\.csv is no text in UTF-8"):
        artifacts.read_table(write(tmp_path, text.replace("ü", "u"), "utf-16-le"))


def test_rows_know_their_line(tmp_path):
    text = 'a,b\n\n1,2\n3,"two\nlines"\n,\n5,6\n'
    read = artifacts.read_all([write(tmp_path, text)])
    assert read["b"].tolist() == ["2", "two\nlines", "6"]
    assert [tables.place(read, row).rsplit(" ", 1)[1] for row in range(3)] == ["3", "4", "7"]
    assert tables.place(FRAME, 0) == "row 1"
