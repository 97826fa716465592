"""How long the jobs of a run took, read from the logs that they left."""

import re
from pathlib import Path

from convexbn.pipeline.logs import last_attempt


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
        attempt = last_attempt(path)
        if attempt and attempt.ended:
            rule = path.relative_to(folder).parts[0].removesuffix(".log")
            stage = re.sub("^(plot|tabulate)_.*", r"\1", rule)
            stages.setdefault(stage, []).append((attempt.ended - attempt.began) / 60)
    return {
        stage: {"jobs": len(minutes), "minutes": round(sum(minutes), 2)}
        for stage, minutes in sorted(stages.items())
    }
