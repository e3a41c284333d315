"""warmup: the kernels are compiled before they are needed."""

from __future__ import annotations


def warmup() -> None:
    """Compile the kernels now, which else happens when they are first used."""
    from fastlr.training.warm_up import warm_up

    warm_up()
    print("the kernels are compiled")
