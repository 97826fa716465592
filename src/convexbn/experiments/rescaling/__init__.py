"""Implicit biases of SGD with batch normalization, and weight rescaling (Liu et al. 2021).

Three treatments of the filters that batch normalization follows are compared with none: weight
decay, rescaling to norm 1 after every epoch, and a learning rate that is scaled by the squared
norm. The biases themselves, how norms grow and what happens to the weights beside the span of the
inputs, are identities, which are checked in float64.
"""
