"""warmup: the kernels are compiled, and the backends measured, before they are needed."""

from __future__ import annotations


def warmup() -> None:
    """Compile the kernels now, not when they are first used, and measure what each backend's work costs."""
    from fastlr.backends.costs import keep
    from fastlr.training.calibrate import calibrate
    from fastlr.training.warm_up import warm_up

    warm_up()
    print("the kernels are compiled")
    measured = calibrate()
    names = ", ".join(dict.fromkeys(backend.name for backend, _ in measured))
    if keep(measured) is None:
        print(f"measured, but not kept, as no cache folder can be written: {names}; set FASTLR_CACHE to one")
    else:
        print(f"measured: {names}")
