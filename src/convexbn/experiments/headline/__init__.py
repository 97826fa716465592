"""The paper's headline: certified convex programs against SGD on images."""
