"""Activation patterns: by gates, and all of them as cells of hyperplanes."""
