"""Benchmark of this library's solvers and their peers: the same problems, the same referee.

Imports nothing, so that a script that only draws does not wait for torch.
"""
