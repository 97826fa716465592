"""The processor of this machine."""

import platform
import re
from pathlib import Path


def cpu_name() -> str:
    """Return the system's name of the processor."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = re.findall(r"model name\s*:\s*(.+)", information.read_text())
        if names:
            return f"{names[0]} ({len(names)} cores)"
    return platform.processor() or platform.machine()
