"""The headline's two-layer BN network under the knobs of the companion papers.

Each knob is turned alone: the batch size with BN and with cross-iteration BN (Yao et al. 2021),
what becomes of the weights (Liu et al. 2021), and the learning rate (Bjorck et al. 2018). The
question is the main paper's: does a network with BN, so trained, reach the convex program whose
regularization is made explicit by truncation?
"""
