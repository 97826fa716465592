"""Differentiable convex layers: the experiments of Agrawal et al. (2019), and claims on them."""
