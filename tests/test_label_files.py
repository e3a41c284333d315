"""Tables of labels in files: every command that trains or evaluates takes them."""

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import fastlr
from fastlr.data import open_dataset

NAMES = np.array(["sun", "rain", "wind", "fog"])


def drawn(m=200, n=12):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(m, n))
    return X, (X @ rng.normal(size=(n, len(NAMES))) + rng.normal(size=(m, len(NAMES))) > 0).astype(np.int8)


X, Y = drawn()


@pytest.fixture
def files(tmp_path):
    """Return the names of files of training and test data."""
    for name, part in (("train", slice(0, 150)), ("test", slice(150, 200))):
        np.savez(tmp_path / f"{name}.npz", X=X[part], y=Y[part], classes=NAMES)
    return tmp_path / "train.npz", tmp_path / "test.npz"


def write_table(tmp_path, kind, labels):
    """Write the samples with a table of labels in a format, and return where they are."""
    file = tmp_path / f"x.{kind}"
    if kind == "npz":
        np.savez(file, X=X, y=labels)
    elif kind == "npy":
        np.save(file, X)
        np.save(tmp_path / "y.npy", labels)
    elif kind == "h5":
        import h5py

        with h5py.File(file, "w") as there:
            there["images"], there["labels"] = X, labels
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file({"X": X, "y": labels}, file)
    else:
        file.mkdir()
        for number, rows in enumerate(np.array_split(np.arange(len(X)), 2)):
            if kind == "shards":
                np.save(file / f"part-{number}.npy", X[rows])
                np.save(file / f"part-{number}.labels.npy", labels[rows])
            else:
                np.savez(file / f"part-{number}.npz", X=X[rows], y=labels[rows])
    return file


@pytest.mark.parametrize("suffix", ["npz", "npy", "safetensors", "h5"])
def test_readers_take_a_table(tmp_path, suffix):
    file = write_table(tmp_path, suffix, Y)
    data = open_dataset(file)
    assert data.is_table
    np.testing.assert_array_equal(data.labels, Y)
    assert data.classes == (0, 1, 2, 3)


WITH_GAPS = np.where(np.random.default_rng(1).random(Y.shape) < 0.2, -1, Y)


@pytest.mark.parametrize("kind", ["npz", "npy", "safetensors", "h5", "shards", "shards of npz"])
@pytest.mark.parametrize("missing", [-1, np.nan])
def test_labels_that_are_not_known(tmp_path, fastlr_command, refused, kind, missing):
    labels = np.where(WITH_GAPS < 0, missing, WITH_GAPS)
    file = write_table(tmp_path, kind, labels)
    data = open_dataset(file, missing_label=missing)
    np.testing.assert_array_equal(data.known, WITH_GAPS >= 0)
    np.testing.assert_array_equal(data.labels[data.known], Y[data.known])
    refused("train", file, says=(f"missing_label={missing} (--missing-label {missing}) leaves such labels out",))
    model = tmp_path / "m.safetensors"
    options = ("--missing-label", str(missing))
    done = fastlr_command("train", file, *options, "--solver", "auto", "--l2", "1e-2", "--model", model, "-q")
    assert done.status == 0, done.err
    here = fastlr.train(X, labels, missing_label=missing, solver="auto", l2=1e-2)
    np.testing.assert_allclose(fastlr.load(model).predict_proba(X), here.model.predict_proba(X), atol=1e-7)
    judged = json.loads(fastlr_command("evaluate", model, file, *options, "--json", "-q").out)
    expected = here.model.scores((X, labels), ["f1", "roc_auc"], missing_label=missing)
    assert {name: judged["scores"][name] for name in expected} == pytest.approx(expected)


def test_converting_keeps_what_is_not_known(tmp_path, fastlr_command, refused):
    np.savez(tmp_path / "x.npz", X=X, y=WITH_GAPS)
    np.savez(tmp_path / "nan.npz", X=X, y=np.where(WITH_GAPS < 0, np.nan, WITH_GAPS))
    for source, missing in (("x.npz", "-1"), ("nan.npz", "nan")):
        for name in ("y.npz", "y.h5"):
            done = fastlr_command("convert", tmp_path / source, tmp_path / name, "--missing-label", missing)
            assert done.status == 0, done.err
            kept = open_dataset(tmp_path / name, missing_label=float(missing))
            np.testing.assert_array_equal(kept.labels_with(-1), WITH_GAPS)
    np.savez(tmp_path / "one.npz", X=X, y=Y[:, 0])
    refused(
        "train",
        tmp_path / "one.npz",
        "--missing-label",
        "-1",
        says=("one.npz has one label for each sample, no table; remove",),
    )


def test_shards_with_tables_of_two_widths(tmp_path, refused):
    for number, labels in enumerate((Y, Y[:, :3])):
        np.save(tmp_path / f"part-{number}.npy", X)
        np.save(tmp_path / f"part-{number}.labels.npy", labels)
    refused("train", tmp_path, says=("part-1.npy: its labels have shape (200, 3), those of part-0.npy (200, 4)",))


def test_reports_on_tables(fastlr_command, files, tmp_path):
    train, test = files
    model = tmp_path / "m.safetensors"
    options = {
        "train": (train, "--test", test, "--solver", "auto", "--l2", "1e-2", "--model", model),
        "sweep": (train, "--test", test, "--lr", "0.1,0.01", "--iterations", 50),
        "probe": (train, "--test", test, "--l2", "1e-2,1"),
        "evaluate": (model, test),
    }
    for command, given in options.items():
        done = fastlr_command(command, *given, "--report", tmp_path / command, "--json", "-q")
        assert done.status == 0, done.err
        page = (tmp_path / command / "report.html").read_text()
        assert json.loads(done.out)["report"] == str(tmp_path / command / "report.html")
        assert "Each label" in page
        assert "confusion" not in page
        for name in NAMES:
            assert f"<td><bdi>{name}</bdi></td>" in page
    scores = fastlr.load(model).scores((X[150:], Y[150:]), "roc_auc")
    assert f"{100 * scores['roc_auc']:.1f}\N{NO-BREAK SPACE}%" in (tmp_path / "evaluate" / "report.html").read_text()


def test_a_report_on_pictures_with_several_labels(tmp_path):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2, (30, 2))
    table[:2] = (0, 0), (1, 1)
    images = (rng.integers(0, 100, (30, 8, 8, 3)) + 100 * table[:, :1, None, None]).astype(np.uint8)
    page = fastlr.report(fastlr.train(images, table, iterations=20), tmp_path / "r").read_text()
    assert "0, 1" in page  # the labels of one sample
    assert (tmp_path / "r" / "weights-02.png").is_file()
    assert (tmp_path / "r" / "samples.png").is_file()


def test_train_evaluate_and_probe(fastlr_command, files, tmp_path):
    train, test = files
    model = tmp_path / "m.safetensors"
    trained = fastlr_command("train", train, "--test", test, "--solver", "auto", "--l2", "1e-2", "--model", model)
    assert trained.status == 0
    assert "labels sun, rain, wind, fog" in trained.out
    run = fastlr.train(X[:150], Y[:150], test=(X[150:], Y[150:]), solver="auto", l2=1e-2)
    assert f"test accuracy: {run.test_accuracy} % of 50 samples" in trained.out
    found = json.loads(fastlr_command("evaluate", model, test, "--json").out)
    probabilities = run.model.predict_proba(X[150:])
    for name, peer in (("average_precision", average_precision_score), ("roc_auc", roc_auc_score)):
        np.testing.assert_allclose(found["label_scores"][name], peer(Y[150:], probabilities, average=None))
        assert found["scores"][name] == pytest.approx(peer(Y[150:], probabilities))
    np.testing.assert_allclose(found["label_scores"]["f1"], f1_score(Y[150:], probabilities > 0.5, average=None))
    assert found["accuracy"] == run.test_accuracy
    lines = fastlr_command("evaluate", model, test).out.splitlines()
    assert lines[0] == f"accuracy: {run.test_accuracy} % of 50 samples, each label by itself"
    assert [line.split()[0] for line in lines[2:]] == [*NAMES, "mean"]
    assert {len(line) for line in lines[1:]} == {len(lines[1])}
    probed = json.loads(
        fastlr_command("probe", train, "--test", test, "--l2", "1e-3:1:4", "--scoring", "f1,roc_auc", "--json").out
    )
    path = fastlr.path(X[:150], Y[:150], l2=probed["l2"], folds=5, scoring=["f1", "roc_auc"], test=(X[150:], Y[150:]))
    assert probed["chosen_l2"] == path.best_l2
    assert probed["test_scores"] == pytest.approx(path.test_scores)


def test_what_is_not_there_for_tables(refused, files, tmp_path, fastlr_command):
    train, test = files
    three, wrong, few = tmp_path / "three.npz", tmp_path / "wrong.npz", tmp_path / "few.npz"
    np.savez(three, X=X, y=Y[:, :3])
    np.savez(wrong, X=X, y=Y.astype(float) * 2)
    np.savez(few, X=X, y=Y, classes=NAMES[:2])
    model = tmp_path / "m.safetensors"
    assert fastlr_command("train", train, "--iterations", 2, "--model", model, "-q").status == 0
    refused("train", train, "--missing-label", "5", says=("missing_label: 5; -1 or NaN is needed",))
    refused("evaluate", model, three, says=("its table of labels has 3 columns", "4"))
    np.savez(tmp_path / "other.npz", X=X, y=Y, classes=NAMES[::-1])
    refused(
        "evaluate", model, tmp_path / "other.npz", says=("are fog, wind, rain, sun, those of the training data sun",)
    )
    refused("train", wrong, says=("row", "holds 2.0 in column", "a table of labels holds zeros and ones"))
    refused("train", few, says=("2 names for 4 columns of labels; each column needs one",))
    run = fastlr.train(X, Y[:, 0], iterations=2)
    run.model.save(tmp_path / "one.safetensors")
    refused("evaluate", tmp_path / "one.safetensors", test, says=("has a table of labels, but", "one label for each"))
    with pytest.raises(fastlr.InputError, match="scores_by_label: the model has one label for each sample"):
        run.model.scores_by_label((X, Y[:, 0]), "f1")


def test_no_label_is_known(fastlr_command, files, tmp_path):
    """What is not defined is null in JSON and said to be so."""
    train, _ = files
    none, model = tmp_path / "none.npz", tmp_path / "m.safetensors"
    np.savez(none, X=X[:20], y=np.full_like(Y[:20], -1), classes=NAMES)
    options = ("--test", none, "--missing-label", "-1", "--iterations", 5)
    assert fastlr_command("train", train, *options, "--json", "--model", model).json["test_accuracy"] is None
    assert (
        "test accuracy: not defined, no label is known, of 20 samples" in fastlr_command("train", train, *options).out
    )
    swept = fastlr_command("sweep", train, "--lr", "0.1,0.01", *options, "--json").json
    assert [run["test_accuracy"] for run in swept["runs"]] == [None, None]
    judged = fastlr_command("evaluate", model, none, "--missing-label", "-1", "--json").json
    assert judged["accuracy"] is None
    assert set(judged["scores"].values()) == {None}


def test_tables_without_columns_and_other_wrong_ones(refused, tmp_path):
    np.savez(tmp_path / "zero.npz", X=X, y=Y[:, :0])
    np.savez(tmp_path / "deep.npz", X=X, y=Y[..., np.newaxis])
    np.savez(tmp_path / "column.npz", X=X, y=np.where(np.arange(4) == 1, -1, Y))
    for command in ("train", "sweep", "probe"):
        refused(command, tmp_path / "zero.npz", says=("the table of labels has no columns; one or more are needed",))
    refused("train", tmp_path / "deep.npz", "--missing-label", "-1", says=("labels have shape (200, 4, 1)",))
    says = ("column.npz: the samples have no known label of weight above 0 in column 1; leave the column out",)
    refused("train", tmp_path / "column.npz", "--missing-label", "-1", says=says)
    refused("train", tmp_path / "column.npz", "--missing-label", "7", says=("missing_label: 7; -1 or NaN is needed",))
    with pytest.raises(fastlr.InputError, match="has no columns"):
        fastlr.path(X, Y[:, :0])


def test_what_is_refused_leaves_no_report_folder(refused, files, tmp_path):
    train, _ = files
    before = sorted(tmp_path.iterdir())
    for command, given in (("train", ()), ("sweep", ()), ("probe", ()), ("evaluate", (train,))):
        refused(
            command, tmp_path / "nothing", *given, "--report", tmp_path / "a" / "report", says=("nothing: no such",)
        )
    assert sorted(tmp_path.iterdir()) == before
