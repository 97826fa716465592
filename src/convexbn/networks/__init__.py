"""BN-ReLU networks in torch, and the ways to and from the blocks of the convex programs."""
