"""Reporting: from tables to verdicts and figures.

A notebook names its own backend of matplotlib to every process that it starts. Where that backend
is not installed matplotlib cannot even be imported, so its name is forgotten here, first of all.
"""

import os
import re
from importlib.util import find_spec

_named = re.match(r"module://(\w+)", os.environ.get("MPLBACKEND", ""))
if _named and find_spec(_named[1]) is None:
    del os.environ["MPLBACKEND"]
