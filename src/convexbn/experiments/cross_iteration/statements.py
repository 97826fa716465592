"""Statements on cross-iteration batch normalization."""


def cross_iteration() -> None:
    """Stub."""
