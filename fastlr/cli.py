"""The command `fastlr`."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastlr.errors import InputError
from fastlr.terminal import fail, print_confusion, print_json, print_predictions, print_timings, progress, say, summary

if TYPE_CHECKING:
    from fastlr.data import Dataset
    from fastlr.training import Run

app = typer.Typer(
    help="Logistic regression on images and embeddings, on any array library.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help loads in half the time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DATA_HELP = (
    "A folder of class folders, an HDF5, npz, npy, parquet or CIFAR-10 file, or a folder of IDX or parquet files."
)
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help=DATA_HELP)]
ModelPath = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that `fastlr train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on standard output, nothing else there.")]
Size = Annotated[int, typer.Option(help="Side in pixels to which picture files are brought.")]
Resample = Annotated[str, typer.Option(help="nearest, box, bilinear, hamming, bicubic or lanczos.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that are not pictures, and count them.")]
LearningRate = Annotated[float, typer.Option("--lr", "--learning-rate", help="Step of the gradient descent.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 2 wrong input, 1 anything else."""
    if sys.stderr is None:  # closed by the caller: what would go there goes nowhere
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for as long as the process lives)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text in the terminal's encoding
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # damaged pictures are reported here, not by Pillow
    try:
        return int(app(arguments, prog_name="fastlr", standalone_mode=False) or 0)
    except InputError as error:
        return fail(str(error), 2)
    except typer.TyperException as error:
        message = error.format_message()  # empty where no command was given, and the help was shown
        return fail(message, error.exit_code) if message else error.exit_code
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", 1)
    except MemoryError as error:
        return fail(f"out of memory ({error}); use fewer or smaller examples", 1)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains as it ends
        return 1
    except OSError as error:
        return fail(str(error), 1)


@app.command()
def train(
    data: DataPath,
    test: Annotated[Path | None, typer.Option(help="Data to test on; by default DATA's own test split.")] = None,
    model: Annotated[Path | None, typer.Option(help="File to save the model in, .safetensors.")] = None,
    iterations: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 2000,
    lr: LearningRate = 0.005,
    l2: Annotated[float, typer.Option(help="Weight decay: adds l2/2 ‖W‖² to the objective.")] = 0.0,
    layers: Annotated[
        str, typer.Option(metavar="N[,N]", help="Units of hidden ReLU layers, such as 4,3,2; by default none.")
    ] = "",
    optimizer: Annotated[str, typer.Option(help="gd, momentum, nesterov or adam.")] = "gd",
    batch_size: Annotated[int | None, typer.Option(help="Examples a step looks at; by default all.")] = None,
    standardize: Annotated[
        bool, typer.Option("--standardize", help="Bring each feature to mean 0 and standard deviation 1.")
    ] = False,
    size: Size = 64,
    resample: Resample = "bicubic",
    positive: Annotated[str | None, typer.Option(metavar="NAME[,NAME]", help="Classes that count as 1.")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Keep as many zeros as there are ones.")] = False,
    holdout: Annotated[int | None, typer.Option(help="Shuffle, and keep this many examples for the test.")] = None,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn: initial weights, shuffles.")] = 0,
    record_every: Annotated[int, typer.Option(help="Iterations between two recorded costs.")] = 100,
    form: Annotated[str, typer.Option(help="auto, primal or gram.")] = "auto",
    backend: Annotated[str | None, typer.Option(help="Array library; by default FASTLR_BACKEND, else auto.")] = None,
    device: Annotated[str | None, typer.Option(help="By default FASTLR_DEVICE, else the library's first.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float64 or float32; by default FASTLR_DTYPE.")] = None,
    precision: Annotated[str, typer.Option(help="full, or tf32 for float32 products on an NVIDIA GPU.")] = "full",
    as_json: Json = False,
) -> int:
    """Train a classifier and report its accuracy."""
    from fastlr.data import open_dataset, splits_of

    if model is not None:
        _check_model_path(model)
    if test is not None and holdout is not None:
        raise InputError("--holdout: --test names the test data already; give one of the two")
    if positive == "":
        raise InputError("--positive: it is empty; give the names of the classes that count as 1")
    # The test set is brought to the training set's classes by their names, whichever of them it holds.
    reading: dict[str, Any] = {"size": size, "resample": resample, "skip_bad": skip_bad}
    train_set = open_dataset(data, "train", positive=positive, balance=balance, **reading)
    test_set = None
    if holdout is not None:
        train_set, test_set = train_set.holdout(holdout, seed)
    elif test is not None:
        test_set = open_dataset(test, "test", **reading)
    elif "test" in splits_of(data):
        test_set = open_dataset(data, "test", **reading)

    run = _train(
        train_set,
        test_set,
        iterations=iterations,
        learning_rate=lr,
        l2=l2,
        layers=_hidden_units(layers),
        optimizer=optimizer,
        batch_size=batch_size,
        standardize=standardize,
        seed=seed,
        record_every=record_every,
        form=form,
        backend=backend,
        device=device,
        dtype=dtype,
        precision=precision,
    )
    if model is not None:
        run.model.save(model)
    if as_json:
        print_json(run.as_dict() | {"model": None if model is None else str(model)})
    for bad in (*train_set.skipped, *(test_set.skipped if test_set else ())):
        print(f"skipped {bad}", file=sys.stderr)
    say(summary(train_set, run), as_json)
    if model is not None:
        say(f"model: {model}", as_json)
    return 0 if run.warning is None else 1


@app.command()
def predict(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Picture files.")],
    annotate: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write each picture with its label here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what pictures show."""
    from fastlr.model import load

    classifier = load(model)
    if classifier.image_shape is None:
        raise InputError(f"{model}: was trained on features, not on pictures; use fastlr.load in Python")
    rows = classifier.predict_files(images)
    if annotate is not None:
        from fastlr.report import annotate_all

        annotate_all(images, [_caption(row) for row in rows], annotate)
    if as_json:
        print_json(rows)
    print_predictions(rows, as_json)


@app.command()
def evaluate(
    model: ModelPath,
    data: DataPath,
    split: Annotated[str, typer.Option(help="train or test, where DATA holds both.")] = "test",
    skip_bad: SkipBad = False,
    as_json: Json = False,
) -> None:
    """Measure a saved model's accuracy on labelled data."""
    from fastlr.data.format import Pictures
    from fastlr.data.reading import read
    from fastlr.model import Results, load

    classifier = load(model)
    shape = classifier.image_shape or Pictures().shape
    examples = read(data, split, Pictures(shape, classifier.resample or "bicubic", skip_bad))
    results = Results(classifier.confusion_matrix(examples))
    if as_json:
        print_json({"model": str(model), "data": str(data), "accuracy": results.accuracy, "n": len(examples),
                     "classes": list(classifier.classes), "class_accuracy": results.class_accuracy,
                     "confusion_matrix": results.matrix.tolist(), "skipped": len(examples.skipped)})  # fmt: skip
    say(f"accuracy: {results.accuracy} % of {len(examples)} examples", as_json)
    print_confusion(classifier.classes, results, as_json)


@app.command()
def convert(
    data: DataPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: OUT.h5 or OUT.npz.")],
    size: Size = 64,
    resample: Resample = "bicubic",
    skip_bad: SkipBad = False,
) -> None:
    """Write any data that fastlr reads as one HDF5 or npz file."""
    from fastlr.data import arrays, hdf5, open_dataset, splits_of
    from fastlr.files import check_writable, whole_file

    writer = {".h5": hdf5.write, ".hdf5": hdf5.write, ".npz": arrays.write}.get(out.suffix.lower())
    if writer is None:
        raise InputError(f"{out}: its name must end in .h5 or .npz")
    check_writable(out)
    parts: dict[str, Dataset] = {}
    for split in splits_of(data) or ("",):
        part = open_dataset(data, split, size=size, resample=resample, skip_bad=skip_bad)
        first = next(iter(parts.values()), part)
        parts[split] = part.aligned(first.classes, first.class_of)
    with whole_file(out) as beside:
        writer(beside, parts)
    for split, part in parts.items():
        for bad in part.skipped:
            print(f"skipped {bad}", file=sys.stderr)
        print(f"{out}: {len(part)} {split + ' ' if split else ''}examples of {part.n_features} numbers")


@app.command()
def backends(as_json: Json = False) -> None:
    """List the array libraries: what is installed, what runs, on which device, and why not."""
    from fastlr.backends import survey

    rows = survey()
    if as_json:
        print_json(rows)
    for row in rows:
        state = f"runs on {', '.join(row['devices'])}" if row["runs"] else f"does not run: {row['why_not']}"
        say(f"{row['name']:8} {row['version'] or '-':10} {state} ({', '.join(row['dtypes'])})", as_json)


@app.command()
def bench(
    problem: Annotated[str, typer.Option(help="cats, birds, planes, beans or tall.")] = "cats",
    backends: Annotated[
        str | None, typer.Option(metavar="B[,B]", help="Array libraries; by default all that run.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check the costs against the textbook's loop, and if they are its own, time the backends beside it."""
    from fastlr.backends import choose_backend, survey
    from fastlr.benchmark import measure
    from fastlr.benchmark.problems import open_problem
    from fastlr.benchmark.trajectory import MismatchError

    task = open_problem(problem)
    names = backends.split(",") if backends is not None else [row["name"] for row in survey() if row["runs"]]
    try:
        rows = measure.measure(task, [choose_backend(name) for name in names], runs=5)
    except MismatchError as error:
        return fail(f"not timed: {error}", 1)
    machine = measure.machine()
    if as_json:
        print_json({"machine": machine, "rows": rows})
    print_timings(machine, rows, as_json)
    return 0


@app.command()
def warmup() -> None:
    """Compile the kernels now, which else happens when they are first used."""
    from fastlr.warmup import warm_up

    warm_up()
    print("the kernels are compiled")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the pictures, the model and the results.")
    ] = Path("fastlr-demo"),
    seed: Annotated[int, typer.Option(help="Seed of the drawn pictures.")] = 0,
) -> int:
    """Draw a data set, train on it, evaluate, save the model, annotate some pictures."""
    from fastlr.data import open_dataset
    from fastlr.data.dataset import check_seed
    from fastlr.data.drawn import CLASSES, draw_dataset
    from fastlr.files import check_writable, make_folder, whole_file
    from fastlr.report import annotate_all

    check_seed(seed)
    mark = out / ".fastlr-demo"  # says that what lies here may be drawn anew
    make_folder(out, "--out")
    if any(out.iterdir()) and not mark.exists():
        raise InputError(f"{out}: exists and is not an earlier demo's; give another folder with --out")
    check_writable(mark)
    mark.touch()
    print(f"drawing pictures of an {CLASSES[0]} or a {CLASSES[1]} in {out}")
    draw_dataset(out, seed=seed)
    train_set, test_set = open_dataset(out, "train"), open_dataset(out, "test")
    run = _train(train_set, test_set, iterations=500, learning_rate=0.002, seed=seed)
    run.model.save(out / "model.safetensors")
    with whole_file(out / "results.json") as beside:
        beside.write_text(json.dumps(run.as_dict(), indent=1, allow_nan=False))
    print(summary(train_set, run))

    files = [file for name in CLASSES for file in sorted((out / "test" / name).iterdir())[:3]]
    rows = run.model.predict_files(files)
    annotate_all(files, [_caption(row) for row in rows], out / "annotated")
    print_predictions(rows)
    print(f"model: {out / 'model.safetensors'}\nannotated pictures: {out / 'annotated'}")
    return 0 if run.warning is None else 1


def _train(train_set: Dataset, test_set: Dataset | None, **settings: Any) -> Run:
    """Train with the progress on standard error and a divergence as one line there."""
    from fastlr.errors import DivergenceWarning
    from fastlr.training import train

    with warnings.catch_warnings(), progress(settings["iterations"]) as (callback, done):
        warnings.simplefilter("ignore", DivergenceWarning)
        run = train(train_set, test=test_set, callback=callback, **settings)
        if run.warning is None:
            done()
    if run.warning:
        print(f"fastlr: {run.warning}", file=sys.stderr)
    return run


def _caption(row: dict[str, Any]) -> str:
    return f"{row['label']}  {row['probability']:.1%}"


def _hidden_units(text: str) -> tuple[int, ...]:
    """Return "4,3,2" as numbers."""
    parts = text.split(",") if text else []
    if any(not part.strip().isdecimal() or int(part) < 1 for part in parts):
        raise InputError(f"--layers: {text!r}; whole numbers of at least 1 are needed, such as 4,3,2")
    return tuple(int(part) for part in parts)


def _check_model_path(path: Path) -> None:
    from fastlr.files import check_writable

    if path.suffix != ".safetensors":
        raise InputError(f"{path}: its name must end in .safetensors")
    check_writable(path)
