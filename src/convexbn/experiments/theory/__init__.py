"""Experiments on the theorems of the paper: each takes its sizes from the config, returns a table.

Imports nothing, so that a script that only draws does not wait for torch.
"""

NEAR = 1e-3  # relative excess at which a descent counts as having reached the optimum
