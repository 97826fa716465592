"""The paper's theorems as experiments: each takes its sizes from the config and returns a table.

Imports nothing, so that a script that only draws does not wait for torch.
"""
