"""Instances of the programs, made from the inputs of the public functions and checked."""

from dataclasses import replace
from typing import Any, cast

import torch

from convexbn.calls import public
from convexbn.inputs import ArrayLike, as_device, as_tensor, check_choice, check_positive
from convexbn.programs import memory
from convexbn.programs.gated import GatedProgram
from convexbn.programs.losses import LOSSES
from convexbn.programs.penalties import PENALTIES
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.relu import ExactProgram, relu_program
from convexbn.programs.relu_bn import relu_bn_program
from convexbn.programs.terms import Loss, NewtonLoss, Penalty, SummedLoss, require
from convexbn.programs.units import Units

# "gated": gates fix the patterns; "relu": the ReLU network, whose blocks are confined to cones;
# "relu_bn": the same with batch normalization after the ReLU.
MODELS = ("gated", "relu", "relu_bn")


def make_program(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    beta: float,
    *,
    model: str,
    loss: str,
    penalty: str,
    device: str | torch.device | None = None,
    for_solver: bool = False,
) -> GatedProgram | ExactProgram:
    """Return an instance of a program, in float64 on `device`, after checking all inputs.

    What memory a solver takes is checked where it is `for_solver`.

    Raises
    ------
    ValueError
        For an unknown name, NaN or infinity, lengths that do not match, targets that do not suit
        the loss or the model, beta <= 0, or a solve too large for the memory of the device.
    TypeError
        If the loss or penalty lacks a method that the referee needs.
    """
    check_choice("model", model, MODELS)
    check_choice("loss", loss, LOSSES)
    check_choice("penalty", penalty, PENALTIES)
    check_positive("beta", beta)
    # As they come: there may be no memory for them in float64. A solver only reads them.
    U, Y = (as_tensor(n, a, None, finite=False, copy=False) for n, a in (("U", U), ("Y", Y)))
    D = as_tensor("D", D, bool, copy=False)
    _check_shapes(U, D, Y)
    device = U.device if device is None else as_device(device)
    if for_solver:
        _check_memory(U, D, Y, device, model=model, loss=loss, penalty=penalty)
    U, Y = (as_tensor(name, a, device=device, copy=False) for name, a in (("U", U), ("Y", Y)))
    D = D.to(device)
    Y = Y.reshape(len(Y), -1)
    require(LOSSES[loss], Loss, "the referee")
    require(PENALTIES[penalty], Penalty, "the referee")
    LOSSES[loss].check_targets(Y)
    if model == "gated":
        U, D = U.reshape(-1, U.shape[-1]), D.reshape(-1, D.shape[-1])
        return GatedProgram(U, D, Y, float(beta), LOSSES[loss], PENALTIES[penalty])
    _check_scalar(model, U, Y, loss, penalty)
    build = relu_program if model == "relu" else relu_bn_program
    if model == "relu" and U.ndim == 2:
        U, D = U[None], D[None]
    # A solver asks for the methods that it needs itself; the referee needs none of them.
    return build(U, D, Y, float(beta), cast(NewtonLoss, LOSSES[loss]))


@public
def beta_max(
    U: ArrayLike,
    D: ArrayLike,
    Y: ArrayLike,
    *,
    loss: str = "squared",
    penalty: str = "group",
    device: str | torch.device | None = None,
) -> float:
    """Return the smallest weight decay at which the gated program's optimum is zero.

    It is where a path over `beta` begins; a hundredth of it is where most paths end. The zero
    weights of model "relu" are optimal there too, and perhaps somewhat below it.

    Parameters
    ----------
    U, D, Y, loss, penalty, device
        As for :func:`convexbn.solve`.

    Raises
    ------
    ValueError
        As :func:`convexbn.solve`.
    """
    terms: dict[str, Any] = {"loss": loss, "penalty": penalty}
    stated = make_program(U, D, Y, 1.0, model="gated", device=device, **terms)
    units = Units.of(stated)
    return units.put_on_beta(cast(GatedProgram, units.taken_off_data(stated)).beta_max())


def spread(
    program: GatedProgram | ExactProgram, processes: Processes
) -> GatedProgram | ExactProgram:
    """Return the program of these samples and those of other processes.

    Raises
    ------
    ValueError
        If there are other processes, and the program is not gated.
    TypeError
        If there are, and the loss cannot sum over them.
    """
    if processes == ALONE:
        return program
    if not isinstance(program, GatedProgram):
        raise ValueError("distributed=True is for model 'gated'; solve the ReLU models without it")
    require(program.loss, SummedLoss, "a program over several processes")
    loss = cast(SummedLoss, program.loss).over(processes)
    return replace(program, loss=loss, processes=processes)


def check_shared(program: GatedProgram | ExactProgram, W: torch.Tensor, **settings: object) -> None:
    """Raise ValueError unless all processes that share a program were given the same.

    Parameters
    ----------
    program : GatedProgram or ExactProgram
    W : Tensor, shape (r + 1, P, C)
        Weights that all of them have.
    settings
        What else they have in common.
    """
    if isinstance(program, GatedProgram) and program.processes != ALONE:
        program.processes.check_same(
            f"weights {program.shape} of sum {float(W.sum())}, {program.patches} patches, "
            f"beta {program.beta}, {settings}"
        )


def checked(
    program: GatedProgram | ExactProgram, name: str, values: ArrayLike, shape: tuple[int, ...]
) -> torch.Tensor:
    """Return values as a float64 tensor on the program's device, finite and of the given shape.

    Raises
    ------
    ValueError
        If they are not; the message calls them `name`.
    """
    found = as_tensor(name, values, device=program.Y.device)
    if tuple(found.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(found.shape)}")
    return found


def _check_shapes(U: torch.Tensor, D: torch.Tensor, Y: torch.Tensor) -> None:
    """Raise ValueError unless U and D, (n, ...) or (K, n, ...), and Y (n, ...) fit."""
    dimensions = U.ndim == D.ndim and U.ndim in (2, 3) and Y.ndim in (1, 2)
    alike = dimensions and U.shape[:-1] == D.shape[:-1]
    if alike and len(Y) != U.shape[-2]:
        raise ValueError(
            f"U, D and Y must be of the same n samples, got {U.shape[-2]} in U and D, and {len(Y)} "
            "in Y; give the targets of the samples that were whitened"
        )
    if not alike or 0 in (*U.shape, *D.shape, *Y.shape):
        raise ValueError(
            "U must have shape (n, r + 1), D (n, P) and Y (n,) or (n, C) for the same n samples, U "
            "and D with an axis of K patches before these for a CNN, and nothing may be empty; got "
            f"U {tuple(U.shape)}, D {tuple(D.shape)} and Y {tuple(Y.shape)}; make D with "
            "activation(U, G)"
        )


def _check_memory(U, D, Y, device, **terms) -> None:
    patches, outputs = len(U) if U.ndim == 3 else 1, Y[0].numel()
    memory.check(len(Y), U.shape[-1], D.shape[-1], outputs, patches, device=device, **terms)


def _check_scalar(model, U, Y, loss, penalty) -> None:
    """Raise ValueError for outputs, losses and penalties that the exact programs do not have."""
    if Y.shape[1] != 1:
        raise ValueError(
            f"model {model!r} is for one output, Y (n,) or (n, 1), got {tuple(Y.shape)}; solve one "
            "program per class, or take model 'gated'"
        )
    check_choice(f"loss of model {model!r}", loss, [k for k in LOSSES if k != "cross_entropy"])
    check_choice(f"penalty of model {model!r}", penalty, ["group"])
    if model == "relu_bn" and U.ndim != 2:
        raise ValueError(f"model 'relu_bn' takes the data X (n, d), got shape {tuple(U.shape)}")
