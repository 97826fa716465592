"""Gradient descent: whole sweeps of minibatch SGD, and full batches from many starts."""
