"""One folder per experiment; none uses another."""

import convexbn.reporting  # noqa: F401  # it must come before matplotlib
