"""The solvers of this library and of its peers on the same problems, judged by the same referee.

Imports nothing, so that a script that only draws does not wait for torch.
"""
