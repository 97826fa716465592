"""The exact program of a BN-ReLU network with its matrices, against the one without them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.matrices import Basis, MatrixProgram, constraints
from convexbn.programs.relu import Neurons, ReLUProgram


@dataclass(frozen=True, kw_only=True)
class FormedProgram(MatrixProgram):
    """The exact program of a BN-ReLU network with its matrices.

    Attributes
    ----------
    origin : ReLUProgram
        The same program without them.
    """

    origin: ReLUProgram

    def network(self, W: Tensor) -> Neurons:
        return self.origin.network(W)


def formed(program: ReLUProgram) -> FormedProgram:
    """Return the program with its matrices; the coordinates of blocks are the weights."""
    U, D = program.U, program.D
    patches = U.reshape(program.patches, -1, U.shape[1]), D.reshape(program.patches, -1, D.shape[1])
    A = torch.einsum("kni,knp->pni", patches[0], patches[1].to(U.dtype))
    K, D = constraints(U, D)
    ones, identity = U.new_ones(len(A), A.shape[2]), torch.eye(A.shape[2], dtype=U.dtype)
    basis = Basis(ones[0], *identity.expand(2, len(A), -1, -1), normed=ones)
    matrices = A.contiguous(), K, D, basis
    return FormedProgram(program.Y, program.beta, program.loss, *matrices, origin=program)
