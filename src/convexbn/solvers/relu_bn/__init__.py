"""The exact program of BN after the ReLU: a primal-dual interior-point method."""
