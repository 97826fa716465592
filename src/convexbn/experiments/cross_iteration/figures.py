"""Figures of cross-iteration batch normalization."""


def statistics() -> None:
    """Stub."""


def accuracies() -> None:
    """Stub."""
