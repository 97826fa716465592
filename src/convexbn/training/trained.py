"""Networks after their training: from the parameters that a sweep leaves to scores."""

import torch

from convexbn.products import repeatable
from convexbn.training.data import TrainingData
from convexbn.training.networks import NETWORKS
from convexbn.training.sweeps import Sweep


def scores_by_seed(
    features: dict,
    sweep: Sweep,
    parameters: dict,
    beta: float,
    learning_rate: float,
    device: str | torch.device = "cpu",
) -> dict[int, torch.Tensor]:
    """Return the scores of the networks of one setting on the test samples, (m, C) by seed.

    Parameters
    ----------
    features : dict of arrays
        Those that the sweep was trained on.
    sweep : Sweep
        Of networks, not of the convex program.
    parameters : dict of tensors or arrays
        The final networks that :func:`convexbn.training.engine.train` returned.
    beta, learning_rate : float
        The setting: of a tuned sweep, the one that all seeds were trained in.
    device : str or torch.device

    Raises
    ------
    ValueError
        If there are not as many networks as the sweep has: none but those that tune were trained.
    """
    data = TrainingData.read(features, sweep, device)
    assert sweep.width is not None  # as the sweep has checked
    sizes = (data.h, sweep.width, data.outputs, len(data.rows("train")))
    network = NETWORKS[sweep.network].network(*sizes, torch.Generator())
    network = network.to(data.Y.device, data.Y.dtype).eval()
    members = sweep.tuning.members
    if sweep.is_tuned:
        members += sweep.remaining(beta, learning_rate).members
    if (count := len(parameters["w"])) != len(members):
        raise ValueError(
            f"expected {len(members)} networks of the sweep, got {count}; give those that it left, "
            "and the setting that all its seeds were trained in"
        )
    scores = {}
    with repeatable(data.Y.device):  # as they were trained
        for place, member in enumerate(members):
            if (member.beta, member.learning_rate) == (beta, learning_rate):
                own = {name: torch.as_tensor(values)[place] for name, values in parameters.items()}
                network.load_state_dict(own)
                scores[member.seed] = data.scores(network, "test").cpu()
    return scores
