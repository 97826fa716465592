"""Tables (.csv) read back, also after a spreadsheet has had them.

Spreadsheets put a mark of the encoding in front, separate by semicolons or tabs where a comma is
the decimal mark, and quote and pad as they like. All of that is read. What could be read in two
ways is refused, with the line as an editor counts it; and so is a table of ours whose content is
not the one that it was written with.
"""

import codecs
import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NOTE = "# "  # begins the first line of a table with provenance
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?([eE][+-]?\d+)?")

Row = tuple[int, list[str]]  # its line in the file, and its cells


def parse(path: str | Path) -> "pd.DataFrame":
    """Read a table, and check that it has the columns that it was written with.

    Returns
    -------
    DataFrame
        `attrs` hold the `path` and the `lines` of a table that is not ours, for messages.

    Raises
    ------
    ValueError
        For a file that is no UTF-8 (or UTF-16), that lacks a column or has one twice, a row with
        too few or too many values, or a column with both decimal commas and points; for a table of
        ours that was cut off, or edited since it was written.
    """
    note, lines = _lines(Path(path))
    separator, lines = _separator(path, lines)
    rows = list(_rows(path, lines, separator, keep_empty=bool(note)))
    if not rows:
        remedy = "; delete the file and run again" if note else ""
        raise ValueError(
            f"{path} is empty; expected a first line with the names of its columns{remedy}"
        )
    header = _header(path, *rows[0])
    record = _record(note, separator)
    if lacking := [name for name in record.get("columns", []) if name not in header]:
        raise ValueError(
            f"{path} lacks the column {', '.join(lacking)} that it was written with, it has "
            f"{', '.join(header)}; put it back, or delete the file and run again"
        )
    body = [(line, _fitted(path, line, cells, header, record)) for line, cells in rows[1:]]
    frame = _with_points(path, _frame(header, body), body, separator)
    if not record:
        return _placed(frame, path, body)
    if "checksum" in record and checksum(frame) != record["checksum"]:
        raise ValueError(
            f"{path} is not as it was written: it was edited, or cut off; delete the file and run "
            "again. To have an edited table read, delete its first line: what is drawn from it "
            "then says that it is unchecked"
        )
    return frame


def checksum(frame: "pd.DataFrame") -> str:
    """Return a text that changes with the content of a table that was read.

    It does not with what a spreadsheet may do to numbers: they count to 12 digits, and 1.0 is 1.
    """
    found = hashlib.blake2b(digest_size=16)
    for name, column in frame.items():
        is_number = column.dtype.kind in "iuf"
        values = [f"{value:.12g}" if is_number else str(value) for value in column]
        found.update("\0".join([str(name), *values, ""]).encode())
    return found.hexdigest()


def provenance(path: str | Path) -> dict:
    """Return the record in the first line of a table; {} where it is not there, or cut off."""
    note, lines = _lines(Path(path))
    return _record(note, _separator(path, lines)[0])


def is_checked(path: str | Path) -> bool:
    """Return whether a table carries the checksum of its content."""
    return "checksum" in provenance(path)


def place(frame: "pd.DataFrame", row: int) -> str:
    """Return where in its file a row of a table stands, counted from 0, as words for a message."""
    if "lines" in frame.attrs:
        return f"{frame.attrs['path']}, line {frame.attrs['lines'][row]}"
    return f"row {row + 1}"


def _placed(frame: "pd.DataFrame", path: str | Path, body: Sequence[Row]) -> "pd.DataFrame":
    frame.attrs = {"path": str(path), "lines": [line for line, _ in body]}
    return frame


def _lines(path: Path) -> tuple[str, list[str]]:
    """Return the line of provenance, "" without one, and all lines, with that one emptied."""
    lines = io.StringIO(_text(path), newline="").readlines()
    note = lines[0].rstrip("\r\n") if lines and lines[0].lstrip('"').startswith(NOTE) else ""
    return note, ["\n", *lines[1:]] if note else lines


def _text(path: Path) -> str:
    content = path.read_bytes()
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if marked else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        raise ValueError(
            f"{path}, line {len(before)}, character {len(before[-1]) + 1}: expected text in UTF-8, "
            f"got the byte 0x{content[error.start]:02x}; save the file as UTF-8 ('CSV UTF-8' in "
            "Excel)"
        ) from error
    if "\0" in text:
        raise ValueError(f"{path} is no text in UTF-8; save it as UTF-8 ('CSV UTF-8' in Excel)")
    return text


def _separator(path: str | Path, lines: list[str]) -> tuple[str, list[str]]:
    """Return what separates the values, and the lines without the one in which Excel says so."""
    first = next((line for line in lines if line.strip()), "")
    if said := re.fullmatch(r'"?sep=([,;\t])"?', first.strip("\r\n ")):
        return said[1], ["\n" if line is first else line for line in lines]
    found = [mark for mark in ",;\t" if mark in first]
    if len(found) > 1:
        named = " and ".join(map(repr, found))
        raise ValueError(f"{path}: expected one separator in the names of columns, found {named}")
    return (found[0] if found else ","), lines


def _rows(path: str | Path, lines: list[str], separator: str, keep_empty: bool) -> Iterator[Row]:
    """Yield the rows that are not blank; a spreadsheet's blank line can have separators."""
    reader, line = csv.reader(lines, delimiter=separator, strict=True), 1
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped) or (keep_empty and cells):
                yield line, stripped
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}, line {line}: {error}; check its quotation marks") from error


def _header(path: str | Path, line: int, cells: list[str]) -> list[str]:
    header = list(cells)
    while not header[-1]:  # separators behind the last name
        header.pop()
    for name in header:
        if not name or header.count(name) > 1:
            raise ValueError(
                f"{path}, line {line}: expected each column to have a name of its own, got "
                f"{', '.join(map(repr, header))}; name or remove {name!r}"
            )
    return header


def _record(note: str, separator: str) -> dict:
    """Return the line of provenance; {} where it cannot be read (any more).

    A spreadsheet splits it at its commas, and quotes the pieces.
    """
    pieces = next(csv.reader([note], delimiter=separator), [])
    for text in (note, ",".join(pieces).rstrip(",")):
        try:
            return json.loads(text.removeprefix(NOTE))
        except ValueError:
            continue
    return {}


def _fitted(
    path: str | Path, line: int, cells: list[str], header: list[str], record: dict
) -> list[str]:
    """Return as many cells as there are columns: more may be there if they are empty."""
    width = len(header)
    if len(cells) < width or any(cells[width:]):
        raise ValueError(
            f"{path}, line {line}: expected {width} values, for {', '.join(header)}, got "
            f"{len(cells)}: {', '.join(map(repr, cells))}; a value that holds the separator, as a "
            "number with a decimal comma may, needs quotation marks or a point"
            + ("; if it was cut off, delete the file and run again" if record else "")
        )
    return cells[:width]


def _frame(header: list[str], body: Sequence[Row]) -> "pd.DataFrame":
    """Let pandas find the types of the columns."""
    import pandas as pd

    buffer = io.StringIO()
    csv.writer(buffer).writerows([header, *(cells for _, cells in body)])
    buffer.seek(0)
    return pd.read_csv(buffer, index_col=False)


def _with_points(
    path: str | Path, frame: "pd.DataFrame", body: Sequence[Row], separator: str
) -> "pd.DataFrame":
    """Return a table in whose columns of numbers decimal commas have become points."""
    for index, name in enumerate(frame.columns):
        texts = {line: cells[index] for line, cells in body if cells[index]}
        if any("," in text for text in texts.values()) and all(
            map(_NUMBER.fullmatch, texts.values())
        ):
            _check_commas(f"{path}, column {name}", texts, separator)
            numbers = [cells[index].replace(",", ".") or "nan" for _, cells in body]
            frame[name] = [float(number) for number in numbers]
    return frame


def _check_commas(where: str, texts: dict[int, str], separator: str) -> None:
    """Raise unless the commas in a column of numbers, by their lines, are decimal commas."""
    odd = re.compile(r".*\..*" if separator != "," else r".*\..*|[1-9]\d{0,2},\d{3}")
    if found := [line for line, text in texts.items() if odd.fullmatch(text)]:
        comma = next(line for line, text in texts.items() if "," in text)
        raise ValueError(
            f"{where}: expected decimal points, or a decimal comma in every number, got "
            f"{texts[comma]} in line {comma} and {texts[found[0]]} in line {found[0]}; write points"
        )
