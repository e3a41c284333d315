"""warmup: the kernels are compiled, and the backends measured, before they are needed."""

from __future__ import annotations


def warmup() -> None:
    """Compile the kernels now. Also time each backend; `--solver auto` and `--form auto` use these times."""
    from fastlr.backends.costs import keep, threads
    from fastlr.errors import InputError
    from fastlr.training.calibrate import calibrate
    from fastlr.training.warm_up import warm_up

    warm_up()
    print("the kernels are compiled")
    measured = calibrate()
    names = ", ".join(dict.fromkeys(backend.name for backend, _ in measured))
    said = f"measured, for OMP_NUM_THREADS={threads()}: {names}"
    try:
        print(f"{said}; kept in {keep(measured)}")
    except (OSError, InputError) as error:
        print(f"{said}; not kept ({error}): name a folder that can be written with FASTLR_CACHE")
