"""The exact program of the ReLU network: proximal steps that Newton's method solves."""
