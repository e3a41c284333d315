"""HDF5, CIFAR-10, npz, npy and IDX to a Dataset, and convert's writers back again."""

import gzip
import pickle
import struct
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from conftest import draw_images, write_folder, write_idx, write_source
from safetensors.numpy import save_file

from fastlr import InputError, open_dataset
from fastlr.data import arrays, cifar, from_arrays, hdf5, splits_of

pytestmark = pytest.mark.broad


@pytest.mark.parametrize("kind", ["hdf5", "npz", "npy"])
def test_what_is_written_is_read(tmp_path, kind):
    images, labels = draw_images()
    path, _ = write_source(kind, tmp_path)
    data = open_dataset(path)
    assert (data.images == images).all()
    assert data.images.dtype == np.uint8
    assert data.labels.tolist() == labels.tolist()
    if kind != "npy":
        assert data.classes == ("dark", "light")
        assert splits_of(path) == ("train", "test")
        assert (open_dataset(path, "test").images == images).all()


def test_the_tutorials_hdf5_layout(tmp_path):
    images, labels = draw_images()
    with h5py.File(tmp_path / "train_catvnoncat.h5", "w") as file:
        file["train_set_x"], file["train_set_y"] = images, labels
        file["list_classes"] = np.array([b"non-cat", b"cat"])
    data = open_dataset(tmp_path / "train_catvnoncat.h5")
    assert data.classes == ("non-cat", "cat")
    with pytest.raises(InputError, match="holds no 'test' split, only train"):
        open_dataset(tmp_path / "train_catvnoncat.h5", "test")


def test_undivided_hdf5_without_names(tmp_path):
    images, labels = draw_images()
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["images"], file["labels"] = images, labels * 4 + 3
    data = open_dataset(tmp_path / "data.hdf5", "test")
    assert data.classes == (3, 7)
    assert data.with_positive(["3"]).labels.tolist() == (1 - labels).tolist()


def test_npz_of_features(tmp_path):
    X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.savez(tmp_path / "features.npz", X=X, y=["a", "b", "a", "b", "a", "b"])
    data = open_dataset(tmp_path / "features.npz")
    assert (data.images == X).all()
    assert data.images.dtype == np.float32
    assert data.classes == ("a", "b")


def test_npz_with_objects_is_not_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", X=np.array([{"a": 1}], dtype=object), y=[0])
    with pytest.raises(InputError, match=r"x\.npz: cannot be read"):
        open_dataset(tmp_path / "x.npz")


def test_npy_needs_labels_beside(tmp_path):
    np.save(tmp_path / "X.npy", np.eye(4))
    with pytest.raises(InputError, match=r"X\.npy: its labels are missing; put them beside it as X\.labels\.npy"):
        open_dataset(tmp_path / "X.npy")
    np.save(tmp_path / "X.labels.npy", [0, 1, 0, 1])
    assert open_dataset(tmp_path / "X.npy").labels.tolist() == [0, 1, 0, 1]


def test_npy_in_the_second_version_of_its_format(tmp_path):
    with (tmp_path / "X.npy").open("wb") as file:
        np.lib.format.write_array(file, np.eye(4), version=(2, 0))
    np.save(tmp_path / "y.npy", [0, 1, 0, 1])
    assert (open_dataset(tmp_path / "X.npy").images == np.eye(4)).all()


def test_safetensors_with_labels_beside(tmp_path):
    save_file({"features": np.eye(4)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"its labels are missing; put them beside it as x\.labels\.npy"):
        open_dataset(tmp_path / "x.safetensors")
    np.save(tmp_path / "x.labels.npy", [0, 1, 0, 1])
    assert open_dataset(tmp_path / "x.safetensors").labels.tolist() == [0, 1, 0, 1]


def test_npz_names_pixels_images_and_features_x(tmp_path):
    for samples, names in ((np.zeros((2, 3), np.uint8), {"images", "labels"}), (np.eye(2), {"X", "y"})):
        arrays.write(tmp_path / "x.npz", {"": from_arrays("x", samples, [0, 1])})
        with np.load(tmp_path / "x.npz") as file:
            assert set(file) == {"classes", *names}


def test_hdf5_that_is_written_holds_no_times(tmp_path):
    data = from_arrays("x", np.eye(2), [0, 1])
    hdf5.write(tmp_path / "x.h5", {"": replace(data, weights=np.ones(2))})
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file) == {"images", "labels", "sample_weight", "list_classes"}
        assert [h5py.h5g.get_objinfo(array.id).mtime for array in file.values()] == [0] * 4


def test_idx_folder(tmp_path):
    images, labels = draw_images()
    write_idx(tmp_path, images[..., 0], labels)
    write_idx(tmp_path, images[:4, ..., 1], labels[:4], name="t10k")
    train, test = open_dataset(tmp_path), open_dataset(tmp_path, "test")
    assert (train.images == images[..., :1]).all()
    assert (test.images == images[:4, ..., 1:2]).all()
    assert train.labels.tolist() == labels.tolist()


@pytest.mark.parametrize("compressed", [False, True])
def test_idx_of_mnists_size(tmp_path, compressed):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60_000, 28, 28), dtype=np.uint8)
    images[:, :, :20] = 0  # as most of a digit's picture is
    labels = rng.integers(0, 10, 60_000).astype(np.uint8)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        name = f"train-{kind}-ubyte" + (".gz" if compressed else "")
        (tmp_path / name).write_bytes(gzip.compress(content, 1) if compressed else content)
    started = time.perf_counter()
    data = open_dataset(tmp_path)
    seconds = time.perf_counter() - started
    assert data.images.shape == (60_000, 28, 28, 1)
    assert (data.images[..., 0] == images).all()
    assert (data.labels == labels).all()
    assert data.classes == tuple(range(10))
    assert seconds < 2, f"{seconds:.2f} s to read 60,000 pictures"


def write_batch(path, rows, labels, protocol=2):
    path.write_bytes(pickle.dumps({b"data": rows, b"labels": labels, b"filenames": [b"x.png"]}, protocol=protocol))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_cifar_batches_as_planes(tmp_path, protocol):
    rows = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
    write_batch(tmp_path / "data_batch_1", rows[:3], [0, 9, 2], protocol)
    write_batch(tmp_path / "data_batch_2", np.asfortranarray(rows[3:]), [2, 1], protocol)
    write_batch(tmp_path / "test_batch", rows[:1], [5], protocol)
    data = open_dataset(tmp_path)
    assert data.images.shape == (5, 32, 32, 3)
    assert data.images[4, 1, 2].tolist() == [rows[4, 34], rows[4, 1024 + 34], rows[4, 2048 + 34]]
    assert data.labels.tolist() == [0, 9, 2, 2, 1]
    assert data.classes == cifar.CLASSES, "the names are built in where batches.meta is missing"
    assert open_dataset(tmp_path, "test").labels.tolist() == [5]
    assert len(open_dataset(tmp_path / "data_batch_1")) == 3


def test_cifar_labels_in_an_array_of_either_order_of_bytes(tmp_path):
    for kind in ("<i8", ">i8"):
        batch = {b"data": np.zeros((4, 3072), np.uint8), b"labels": np.array([3, 1, 0, 2], kind)}
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, protocol=2))
        assert open_dataset(tmp_path / "data_batch_1").labels.tolist() == [3, 1, 0, 2]


def test_cifar_names_from_the_meta_file(tmp_path):
    write_batch(tmp_path / "data_batch_1", np.zeros((2, 3072), np.uint8), [0, 1])
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"ant", b"bee"]}))
    assert open_dataset(tmp_path / "data_batch_1").classes == ("ant", "bee")


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_tries_to_run_code_is_refused(tmp_path, protocol):
    trap = tmp_path / "trap"
    content = {b"data": Malicious(open, str(trap), "w"), b"labels": [0]}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(InputError, match=r"data_batch_1: refused, this pickle asks for '_?io\.open'"):
        open_dataset(tmp_path / "data_batch_1")
    assert not trap.exists()


def test_inert_stand_ins_cannot_be_turned_into_calls(tmp_path):
    # numpy.dtype stands for a class that only keeps its arguments: naming code as one of them runs nothing.
    content = b"\x80\x02}q\x00(U\x04dataq\x01cnumpy\ndtype\nU\x09os.systemq\x02\x85Rq\x03U\x06labelsq\x04]q\x05u."
    (tmp_path / "data_batch_1").write_bytes(content)
    with pytest.raises(InputError, match="'data' is not a uint8 array"):
        open_dataset(tmp_path / "data_batch_1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds no dictionary"),
        ({b"data": 1}, "holds no 'labels'"),
        ({b"data": [1], b"labels": [0]}, "'data' is not a uint8 array"),
        ({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, "'data' is not a uint8 array"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": "ab"}, "'labels' is not a list of whole numbers"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "2 samples and 1 label; each"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "labels run from 0 to 10"),
    ],
)
def test_other_pickles_are_named(tmp_path, content, words):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(InputError, match=words):
        open_dataset(tmp_path / "data_batch_1")


@pytest.mark.parametrize("suffix", ["h5", "npz"])
@pytest.mark.parametrize("kind", ["png", "hdf5", "npz", "npy", "cifar", "idx"])
def test_convert_keeps_pixels_labels_and_names(tmp_path, fastlr_command, kind, suffix):
    (tmp_path / "in").mkdir()
    source, _ = write_source(kind, tmp_path / "in")
    out = tmp_path / f"out.{suffix}"
    outcome = fastlr_command("convert", source, out, "--size", 8)
    assert outcome.status == 0, outcome.err
    only_train_as_npz = (kind, suffix) == ("idx", "npz")  # a single split has no prefix there: it reads as undivided
    assert splits_of(out) == (() if only_train_as_npz else splits_of(source))
    for split in splits_of(source) or ("train",):
        before, after = open_dataset(source, split, size=8), open_dataset(out, split)
        assert (before.images == after.images).all()
        assert before.labels.tolist() == after.labels.tolist()
        assert [str(name) for name in before.classes] == [str(name) for name in after.classes]


def test_convert_of_features(tmp_path, fastlr_command):
    np.savez(tmp_path / "in.npz", X=np.eye(4), y=["é", "b", "é", "b"])
    for out in (tmp_path / "out.h5", tmp_path / "out.npz"):
        assert fastlr_command("convert", tmp_path / "in.npz", out).status == 0
        data = open_dataset(out)
        assert data.classes == ("b", "é")
        assert data.images.tolist() == np.eye(4).tolist()


def test_convert_matches_the_splits_classes_by_name(tmp_path, fastlr_command):
    images, labels = draw_images(8)
    write_folder(tmp_path / "in" / "train", images, labels)
    write_folder(tmp_path / "in" / "test", images[1:2], labels[1:2])
    assert fastlr_command("convert", tmp_path / "in", tmp_path / "out.h5", "--size", 8).status == 0
    assert open_dataset(tmp_path / "out.h5", "test").labels.tolist() == [1]


def test_uint8_matrix_is_pixels():
    assert from_arrays("x", np.zeros((2, 6), np.uint8), [0, 1]).images.dtype == np.uint8


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([b"no", b"yes"] * 3), ("no", "yes")),
        (np.array(["no", "yes"] * 3, dtype=object), ("no", "yes")),
        (np.array([b"no", b"yes"] * 3, dtype=object), ("no", "yes")),
        (np.array([0.0, 1.0] * 3), (0.0, 1.0)),
        (["no", "yes"] * 3, ("no", "yes")),
    ],
)
def test_labels_as_users_have_them(labels, classes):
    data = from_arrays("x", np.eye(6), labels)
    assert data.classes == classes
    assert data.labels.tolist() == [0, 1] * 3


def test_float_labels_that_are_whole_serve_as_indices():
    assert from_arrays("x", np.eye(2), [0.0, 1.0], ["no", "yes"]).labels.tolist() == [0, 1]


def test_hdf5_with_labels_of_text(tmp_path):
    images, _ = draw_images(4)
    for kind in (h5py.string_dtype(), "S3") * 20:  # the file can be written again as soon as it was read
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["images"] = images
            file.create_dataset("labels", data=["no", "yes", "no", "yes"], dtype=kind)
        assert open_dataset(tmp_path / "x.h5").classes == ("no", "yes")


def test_a_model_of_numbers_knows_them_as_text(tmp_path, fastlr_command):
    images, labels = draw_images()
    write_idx(tmp_path, images[..., 0], labels)
    assert fastlr_command("train", tmp_path, "--iterations", 5, "--model", tmp_path / "m.safetensors").status == 0
    assert fastlr_command("convert", tmp_path, tmp_path / "x.h5").status == 0
    outcome = fastlr_command("evaluate", tmp_path / "m.safetensors", tmp_path / "x.h5", "--split", "train", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["n"] == 12


def test_folders_with_the_names_of_idx_files(tmp_path):
    images, labels = draw_images()
    write_idx(tmp_path, images[..., 0], labels)
    (tmp_path / "train-images.idx3-ubyte").mkdir()
    assert len(open_dataset(tmp_path)) == 12


@pytest.mark.parametrize("kind", ["h5", "npy", "safetensors", "parquet"])
def test_the_working_folder_may_change(tmp_path, monkeypatch, kind):
    """A name that is relative means the folder at the time of the call, also for rows that are read later."""
    monkeypatch.setattr("fastlr.data.rows.LARGE", 1)
    for module in ("arrays", "hdf5", "tensors", "table"):
        monkeypatch.setattr(f"fastlr.data.{module}.LARGE", 1, raising=False)
    opened = {}
    for place, value in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / place
        folder.mkdir()
        monkeypatch.chdir(folder)
        # The second file has another layout: what is known of the first does not fit it.
        X = np.full((40 if place == "one" else 400, 3 if place == "one" else 5), value)
        y = np.arange(len(X)) % 2
        if kind == "h5":
            with h5py.File("x.h5", "w") as file:
                file["images"], file["labels"] = X, y
        elif kind == "npy":
            np.save("x.npy", X)
            np.save("x.labels.npy", y)
        elif kind == "safetensors":
            from safetensors.numpy import save_file

            save_file({"X": X, "y": y}, "x.safetensors")
        else:
            import pyarrow as pa
            from pyarrow import parquet

            monkeypatch.setattr("fastlr.data.table.free_memory", lambda: 0, raising=False)
            parquet.write_table(pa.table({"features": X.tolist(), "label": y}), "x.parquet")
        opened[value] = open_dataset(f"x.{kind}"), X
    monkeypatch.chdir(tmp_path)
    for value, (data, X) in opened.items():
        np.testing.assert_array_equal(np.asarray(data.images), X, err_msg=f"{kind}, {value}")
        assert data.labels.tolist() == (np.arange(len(X)) % 2).tolist()
