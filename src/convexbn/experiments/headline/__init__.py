"""The headline of the paper: certified convex programs against SGD on images."""
