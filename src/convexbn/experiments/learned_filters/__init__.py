"""Spectral filters that are learned through the certified program, against those of a grid."""
