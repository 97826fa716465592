"""Cross-Iteration Batch Normalization (Yao et al. 2021) against other normalizations."""
