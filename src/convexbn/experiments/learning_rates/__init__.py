"""Batch normalization and large learning rates: Bjorck, Gomes, Selman and Weinberger (2018)."""
