"""The device that a config asks for."""


def pick_device(name: str) -> str:
    """Return the device that a config's `device` means on this machine.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"}
        "auto" is a CUDA device where there is one.

    Raises
    ------
    ValueError
        If CUDA is asked for and there is none, or the name is unknown.
    """
    import torch

    from convexbn.inputs import check_choice

    check_choice("device", name, ("auto", "cpu", "cuda"))
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ValueError(
            "device is 'cuda', but PyTorch finds no CUDA device on this machine; run where there "
            "is one, or set device to 'auto' or 'cpu'"
        )
    return "cpu" if name == "cpu" or not available else "cuda"
