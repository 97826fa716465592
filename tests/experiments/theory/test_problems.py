"""The architectures that the theory's experiments train."""

import torch
from theory_cases import PROBLEMS

from convexbn.experiments.theory.problems import OneVsAllGatedNetwork, make
from convexbn.networks.architectures import GatedBNNetwork
from convexbn.training.descent import Descent


def test_neurons_of_one_vs_all_serve_one_output():
    problem = make(PROBLEMS["group"], seed=0)
    network = problem.train(1, Descent(30, 0.1), seed=0).networks[0]
    assert isinstance(network, OneVsAllGatedNetwork)
    assert ((network.output != 0).sum(dim=1) == 1).all()
    assert (network.output != 0).sum(dim=0).tolist() == [3, 3]  # one per gate and output
    vector = make(PROBLEMS["nuclear"], seed=0).draw(1, torch.Generator())
    assert type(vector) is GatedBNNetwork
