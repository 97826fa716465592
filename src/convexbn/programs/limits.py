"""Memory that this process may still take, by each limit that it is under.

A container or a batch job has less than the machine: a control group (cgroup) limits it, and every
group above limits all that is in it; `ulimit -v` and `ulimit -d` limit one process. Memory that
only caches files counts as free. Where a system has none of these files (macOS, Windows), no limit
is known.
"""

import os
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path, PurePosixPath

# Files of a group: its limits (above "high" a process is slowed down until it hardly runs), what
# is in use, and the name of what of that is a cache.
_Files = tuple[tuple[str, ...], str, str]
_V1: _Files = (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")
_V2: _Files = (("memory.max", "memory.high"), "memory.current", "inactive_file")
# Each limit of a process with what counts against it, and its name in a shell.
_OF_PROCESS = (("RLIMIT_AS", "VmSize", "ulimit -v"), ("RLIMIT_DATA", "VmData", "ulimit -d"))


def free(root: Path = Path("/")) -> dict[str, int]:
    """Return the bytes that each limit leaves, by its name; empty where none is known.

    Parameters
    ----------
    root : path
        Folder that has `proc` and `sys`.
    """
    status = _sizes(_read(root / "proc/self/status"))
    left = {**_of_machine(root), **dict(_of_groups(root)), **dict(_of_process(status))}
    return {name: max(0, size) for name, size in left.items()}


def _of_machine(root: Path) -> dict[str, int]:
    sizes = _sizes(_read(root / "proc/meminfo"))
    if "MemAvailable" in sizes:
        return {"the machine's memory": sizes["MemAvailable"]}
    if not sizes and "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", ()):
        return {"the machine's memory": os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")}
    return {}


def _of_groups(root: Path) -> Iterator[tuple[str, int]]:
    """Yield what each group that this process is in leaves, from its own to the outermost."""
    mounts = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if "memory" in controllers.split(","):
            yield from _of_levels(mounts / "memory", path, _V1)
        elif path and not controllers:  # version 2, which a machine may have beside version 1
            yield from _of_levels(mounts, path, _V2)
            yield from _of_levels(mounts / "unified", path, _V2)


def _of_levels(mount: Path, path: str, files: _Files) -> Iterator[tuple[str, int]]:
    """Yield what a group and those above it leave; in a container, some cannot be seen."""
    own = PurePosixPath(os.path.normpath(path))
    maxima, usage, cache = files
    for level, maximum in product((own, *own.parents), maxima):
        folder = mount.joinpath(*level.parts[1:])
        most, used = _number(folder / maximum), _number(folder / usage)
        if most is not None and used is not None:
            cached = re.search(rf"^{cache} (\d+)$", _read(folder / "memory.stat"), re.M)
            yield f"the cgroup {level} ({maximum})", most - used + int(cached[1] if cached else 0)


def _of_process(status: dict[str, int]) -> Iterator[tuple[str, int]]:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    for limit, used, command in _OF_PROCESS:
        most = resource.getrlimit(getattr(resource, limit))[0]
        if most != resource.RLIM_INFINITY and used in status:
            yield f"{limit} ({command})", most - status[used]


def _sizes(text: str) -> dict[str, int]:
    """Return the sizes in bytes of a file of lines like "VmSize:  16564 kB"."""
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[2:] == ["kB"]}


def _number(path: Path) -> int | None:
    """Return the number in a file, None if there is none: version 2 writes "max" for no limit."""
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _read(path: Path) -> str:
    """Return the text of a file that not every system has, or lets everyone read; "" there."""
    try:
        return path.read_text()
    except OSError:
        return ""
