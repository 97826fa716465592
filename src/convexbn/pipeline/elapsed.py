"""How long the jobs of a run took, read from the logs that they left."""

import re
from datetime import datetime
from pathlib import Path

_TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)$"
# The first and the last line of :mod:`convexbn.pipeline.logs`.
_BEGUN = re.compile(rf"^--- attempt \d+: .*, {_TIME}", re.MULTILINE)
_ENDED = re.compile(rf"^--- ended well, {_TIME}", re.MULTILINE)


def of_stages(folder: str | Path) -> dict[str, dict[str, float]]:
    """Return the jobs of each stage: how many, and the minutes that they took on the clock.

    Of a job that was tried several times the last attempt counts, and only one that ended well.
    The stages are the rules; those that draw are one, and so are those that tabulate.

    Parameters
    ----------
    folder : str or Path
        The folder `logs` of the results.
    """
    folder = Path(folder)
    stages: dict[str, list[float]] = {}
    for path in sorted(folder.rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        begun, ended = _BEGUN.findall(text), _ENDED.findall(text)
        if begun and ended:
            took = datetime.fromisoformat(ended[-1]) - datetime.fromisoformat(begun[-1])
            rule = path.relative_to(folder).parts[0].removesuffix(".log")
            stage = re.sub("^(plot|tabulate)_.*", r"\1", rule)
            stages.setdefault(stage, []).append(took.total_seconds() / 60)
    return {
        stage: {"jobs": len(minutes), "minutes": round(sum(minutes), 2)}
        for stage, minutes in sorted(stages.items())
    }
