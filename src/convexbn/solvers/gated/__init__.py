"""The gated program: the proximal point method with semismooth Newton steps in its dual."""
