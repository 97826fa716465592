"""Instances of the programs, made from what callers hand in, and the checks of these inputs."""

import numpy as np
import torch

from convexbn.inputs import check_choice, check_finite, check_positive, check_same_length
from convexbn.programs import memory
from convexbn.programs.gated import GatedProgram
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.relu import ExactProgram, relu_program
from convexbn.programs.relu_bn import relu_bn_program

# "gated": patterns fixed by gates; "relu": the ReLU network, whose blocks are confined to cones;
# "relu_bn": the same with batch normalization after the ReLU.
MODELS = ("gated", "relu", "relu_bn")


def make_program(
    U, D, Y, beta, *, model, loss, penalty, device=None
) -> GatedProgram | ExactProgram:
    """Check the inputs of the public functions and gather them in float64 on `device`.

    Raises
    ------
    ValueError
        For an unknown name, NaN or infinity, lengths that do not match, targets that the loss or
        the model is not for, beta <= 0, or a program that solving needs more memory for than
        there is.
    """
    check_choice("model", model, MODELS)
    check_choice("loss", loss, LOSSES)
    check_choice("penalty", penalty, PENALTIES)
    check_positive("beta", beta)
    U, D, Y = (a if torch.is_tensor(a) else torch.as_tensor(np.asarray(a)) for a in (U, D, Y))
    _check_shapes(U, D, Y)
    device = device or U.device
    _check_memory(U, D, Y, device, model=model, loss=loss, penalty=penalty)
    U, Y = (a.to(device=device, dtype=torch.float64) for a in (U, Y))
    D = D.to(device)
    check_finite("U", U)
    check_finite("Y", Y)
    Y = Y.reshape(len(Y), -1)
    LOSSES[loss].check_targets(Y)
    if model == "gated":
        U, D = U.reshape(-1, U.shape[-1]), D.reshape(-1, D.shape[-1])
        return GatedProgram(U, D, Y, float(beta), LOSSES[loss], PENALTIES[penalty])
    _check_scalar(model, U, Y, loss, penalty)
    build = relu_program if model == "relu" else relu_bn_program
    if model == "relu" and U.ndim == 2:
        U, D = U[None], D[None]
    return build(U, D, Y, float(beta), LOSSES[loss])


def checked(program, name: str, values, shape) -> torch.Tensor:
    """Return values as a float64 tensor beside the program, of the given shape and finite."""
    values = torch.as_tensor(values if torch.is_tensor(values) else np.asarray(values))
    values = values.to(device=program.Y.device, dtype=torch.float64)
    if tuple(values.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(values.shape)}")
    check_finite(name, values)
    return values


def _check_shapes(U, D, Y) -> None:
    dimensions = U.ndim == D.ndim and U.ndim in (2, 3) and Y.ndim in (1, 2)
    if D.dtype != torch.bool or not dimensions or 0 in (*U.shape, *D.shape, *Y.shape):
        raise ValueError(
            "expected non-empty U (n, r+1), D (n, P) of bool (or both with an axis of K patches "
            f"before these) and Y (n,) or (n, C), got shapes {tuple(U.shape)}, {tuple(D.shape)} of "
            f"{D.dtype}, {tuple(Y.shape)}; make D with activation(U, G)"
        )
    samples = U.movedim(-2, 0)
    check_same_length("U", samples, "D", D.movedim(-2, 0))
    check_same_length("U", samples, "Y", Y)
    if len(U) != len(D):
        raise ValueError(f"U and D must have the same patches, got {len(U)} and {len(D)}")


def _check_memory(U, D, Y, device, **terms) -> None:
    patches, outputs = len(U) if U.ndim == 3 else 1, Y[0].numel()
    memory.check(len(Y), U.shape[-1], D.shape[-1], outputs, patches, device=device, **terms)


def _check_scalar(model, U, Y, loss, penalty) -> None:
    """Refuse what the exact programs are not for."""
    if Y.shape[1] != 1:
        raise ValueError(
            f"model {model!r} is for one output, Y (n,) or (n, 1), got {tuple(Y.shape)}; solve one "
            "program per class, or take model 'gated'"
        )
    check_choice(f"loss of model {model!r}", loss, [k for k in LOSSES if k != "cross_entropy"])
    check_choice(f"penalty of model {model!r}", penalty, ["group"])
    if model == "relu_bn" and U.ndim != 2:
        raise ValueError(f"model 'relu_bn' takes the data X (n, d), got shape {tuple(U.shape)}")
