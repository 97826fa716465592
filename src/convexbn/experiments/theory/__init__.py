"""The paper's theorems as experiments: each takes its sizes from the config and returns a table.

Imports nothing, so that a script that only draws does not wait for torch.
"""

NEAR = 1e-3  # relative excess with which a descent has reached the optimum
