"""SGD against ridge regression in least squares (Zou et al. 2021).

Samples are x ~ N(0, H) with targets y = <w*, x> + noise, and an estimator w is judged by its excess
risk `||w - w*||_H^2`. SGD takes one step of a constant size on each of N samples, from 0, and
averages the last N/2 iterates; ridge regression is `argmin ||Xw - y||^2 + lambda ||w||^2` on N
samples. Both are tuned for each N.
"""
