"""Rows that lie in many files, or stay in one: the same bits as those of one array."""

import os

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

import fastlr
from fastlr.data import arrays, hdf5, open_dataset, splits_of, tensors
from fastlr.data.blocks import Blocks, is_in_memory, watching
from fastlr.data.rows import InOrder, Rows, by_bands, joined
from fastlr.namespace import is_lazy
from fastlr.training import inputs

RNG = np.random.default_rng(0)
X = RNG.normal(size=(230, 6)).astype(np.float32)
LABELS = (X @ RNG.normal(size=(6, 3)) + RNG.gumbel(size=(230, 3))).argmax(axis=1)
PARTS = [slice(0, 40), slice(40, 41), slice(41, 150), slice(150, 230)]
NAMES = np.array(["ant", "bee", "cat"])


def write_npy(folder, text=False):
    for number, part in zip((0, 1, 2, 10), PARTS, strict=True):
        np.save(folder / f"part-{number}.npy", X[part])
        np.save(folder / f"part-{number}.labels.npy", NAMES[LABELS[part]] if text else LABELS[part])


def write_npy_with_one_file_of_labels(folder):
    for number, part in zip((0, 1, 2, 10), PARTS, strict=True):
        np.save(folder / f"part-{number}.npy", X[part])
    np.save(folder / "labels.npy", LABELS)


def write_npz(folder):
    for number, part in enumerate(PARTS):
        np.savez(folder / f"{number}.npz", X=X[part], y=LABELS[part])


def write_safetensors(folder):
    for number, part in enumerate(PARTS):
        save_file({"features": X[part], "labels": LABELS[part]}, folder / f"{number}.safetensors")


def write_hdf5(folder):
    for number, part in enumerate(PARTS):
        with h5py.File(folder / f"{number}.h5", "w") as file:
            file.create_dataset("images", data=X[part], chunks=(min(7, len(X[part])), 4), compression="gzip")
            file["labels"] = LABELS[part]


def write_exported(folder):
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    (folder / "text_emb").mkdir()
    for number, part in zip((0, 1, 2, 10), PARTS, strict=True):
        np.save(folder / "img_emb" / f"img_emb_{number}.npy", X[part])
        table = pa.table({"image_path": [str(i) for i in range(len(X[part]))], "label": LABELS[part]})
        pq.write_table(table, folder / "metadata" / f"metadata_{number}.parquet")


WRITERS = [
    write_npy, write_npy_with_one_file_of_labels, write_npz, write_safetensors, write_hdf5, write_exported,
]  # fmt: skip


@pytest.fixture
def lazily(monkeypatch):
    """Let all files be mapped, or read when they are asked for, and all training stream."""
    for module in (arrays, hdf5, tensors):
        monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setenv("FASTLR_MEMORY", "1")
    monkeypatch.setattr(inputs, "BLOCK", 500)
    monkeypatch.setattr(inputs, "FEWEST", 17)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("settings", [{"solver": "lbfgs", "l2": 0.1}, {"batch_size": 32}, {"standardize": True}])
def test_the_bits_of_one_array(lazily, tmp_path, write, settings):
    write(tmp_path)
    data = open_dataset(tmp_path)
    assert is_lazy(data.images)
    np.testing.assert_array_equal(np.asarray(data.images), X)
    assert data.labels.tolist() == LABELS.tolist()
    settings = {"iterations": 20, "form": "primal", **settings}
    one, many = fastlr.train(X, LABELS, **settings), fastlr.train(data, **settings)
    assert many.logits == "recomputed"
    assert one.costs == many.costs
    for a, b in zip(one.model.layers, many.model.layers, strict=True):
        np.testing.assert_array_equal(a.W, b.W)
    np.testing.assert_array_equal(many.model.predict(data), many.model.predict(X))
    assert many.model.accuracy(data) == many.train_accuracy


def test_parquet_gives_them_too(lazily, tmp_path):
    for number, part in enumerate(np.array_split(np.arange(len(X)), 3)):
        table = pa.table({"features": list(X[part]), "label": LABELS[part]})
        pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=40)
    data = open_dataset(tmp_path)
    assert type(data.images).__name__ == "InOrder"
    settings = {"iterations": 20, "form": "primal", "solver": "lbfgs", "l2": 0.1}
    one, other = fastlr.train(X, LABELS, **settings), fastlr.train(data, **settings)
    np.testing.assert_array_equal(one.model.layers[0].W, other.model.layers[0].W)
    for which in (slice(50, 60), slice(60, 200), slice(0, 3), slice(229, 230), [200, 3, 90], slice(5, 5)):
        np.testing.assert_array_equal(data.images[which], X[which])


def test_a_table_that_does_not_hold_one_kind_of_number(lazily, tmp_path):
    first = pa.table({"features": pa.array([[1, 2]] * 300), "label": [0, 1] * 150})
    later = pa.table({"features": pa.array([[1, None]] * 300), "label": [0, 1] * 150})
    for number, table in enumerate((first, later)):
        pq.write_table(table, tmp_path / f"train-{number}.parquet")
    with pytest.raises(fastlr.InputError, match=r"the features are float64, those before int64, after 300 rows"):
        np.asarray(open_dataset(tmp_path).images)


def test_names_parts_and_the_command(lazily, tmp_path, fastlr_command):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        write_npy(tmp_path / split, text=True)
    assert splits_of(tmp_path) == ("train", "test")
    assert open_dataset(tmp_path).classes == ("ant", "bee", "cat")
    command = ("train", tmp_path, "--iterations", 20, "--solver", "lbfgs", "--l2", 0.1, "--test", tmp_path, "--json")
    model = tmp_path.parent / "m.safetensors"
    run = fastlr_command(*command, "--quiet", "--model", model).json
    assert run["logits"] == "recomputed"
    assert run["n_test"] == 230
    assert fastlr_command("evaluate", model, tmp_path, "--json").json["n"] == 230
    assert fastlr_command("convert", tmp_path, tmp_path.parent / "x.npz").status == 0
    np.testing.assert_array_equal(open_dataset(tmp_path.parent / "x.npz").images, X)


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.h5", "chunked.h5"])
def test_large_arrays_stay_in_their_files(lazily, tmp_path, name):
    path = tmp_path / name
    if name == "x.npy":
        np.save(path, X)
        np.save(tmp_path / "labels.npy", LABELS)
    elif name == "x.safetensors":
        save_file({"features": X, "labels": LABELS}, path)
    else:
        with h5py.File(path, "w") as file:
            more = {"chunks": (9, 4), "compression": "gzip", "shuffle": True} if name == "chunked.h5" else {}
            file.create_dataset("images", data=X, **more)
            file["labels"] = LABELS
    data = open_dataset(path)
    assert is_lazy(data.images)
    np.testing.assert_array_equal(np.asarray(data.images), X)
    np.testing.assert_array_equal(data.take(np.array([200, 3, 3])).images, X[[200, 3, 3]])
    for start, stop in ((0, 1), (8, 10), (17, 230), (229, 230)):
        np.testing.assert_array_equal(data.images[start:stop], X[start:stop])


def test_a_folder_of_one_file(lazily, tmp_path):
    np.save(tmp_path / "part-0.npy", X)
    np.save(tmp_path / "part-0.labels.npy", LABELS)
    np.testing.assert_array_equal(np.asarray(open_dataset(tmp_path).images), X)


@pytest.mark.parametrize("name", ["x.npy", "x.h5", "x.safetensors"])
@pytest.mark.parametrize("less", [0, 1])
def test_an_array_of_so_many_bytes_stays_in_its_file(tmp_path, monkeypatch, name, less):
    for module in (arrays, hdf5, tensors):
        monkeypatch.setattr(module, "LARGE", X.nbytes + less)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "x.labels.npy", LABELS)
    save_file({"features": X, "labels": LABELS}, tmp_path / "x.safetensors")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = X, LABELS
    assert is_lazy(open_dataset(tmp_path / name).images) == (less == 0)


def test_how_far_a_pass_has_come_is_told_in_bytes():
    told = []
    token = watching.set(told.append)
    try:
        assert len(list(Blocks(X, LABELS, 100))) == 3
    finally:
        watching.reset(token)
    assert [(each.read, each.size) for each in told] == [(2400, 5520), (4800, 5520), (5520, 5520)]


def test_rows_in_order_are_read_once():
    begun = []

    def begin(row):
        begun.append(row)
        return 0, iter([X[:90], X[90:100], X[100:]])

    rows = InOrder(X.shape, X.dtype, begin)
    for start in range(0, 230, 40):
        np.testing.assert_array_equal(rows[start : start + 40], X[start : start + 40])
    assert begun == [0]
    np.testing.assert_array_equal(rows[95:105], X[95:105])
    assert begun == [0, 95]


def test_rows_are_those_of_an_array():
    parts = [X[part] for part in PARTS]
    rows = joined(parts)
    assert (rows.shape, rows.dtype, len(rows)) == (X.shape, X.dtype, 230)
    assert not is_in_memory(rows)
    for which in (slice(None), slice(39, 43), slice(0, 0), slice(5, 200, 7), slice(-3, None), slice(None, None, -1)):
        np.testing.assert_array_equal(rows[which], X[which])
    for which in (np.array([229, 0, 40, 40]), np.arange(230) % 3 == 0, np.zeros(0, int)):
        np.testing.assert_array_equal(rows[which], X[which])
    asked = []
    read = Rows((10**6, 2), np.dtype(float), lambda a, b: asked.append(b - a) or np.zeros((b - a, 2)))
    assert read[np.array([5, 6, 10**6 - 1])].shape == (3, 2)
    assert asked == [1, 1, 1]
    assert read[np.arange(0, 10**5, 10)].shape == (10**4, 2)
    assert asked[3:] == [2**19]
    np.testing.assert_array_equal(rows[:, 1:3], X[:, 1:3])
    assert (rows[3, 2], rows[-1, 0]) == (X[3, 2], X[-1, 0])
    with pytest.raises(IndexError):
        rows[230]


def test_what_does_not_go_together(refused, tmp_path):
    np.save(tmp_path / "a.npy", X)
    refused("train", tmp_path, says=("its labels are missing; put them there as one of: NAME.labels.npy beside each",))
    np.save(tmp_path / "a.labels.npy", LABELS)
    np.save(tmp_path / "b.npy", X[:, :4])
    np.save(tmp_path / "b.labels.npy", LABELS)
    refused("train", tmp_path, says=("b.npy: is an array of shape (230, 4) and float32, a.npy one of (230, 6)",))
    np.save(tmp_path / "b.npy", X)
    (tmp_path / "b.labels.npy").unlink()
    refused("train", tmp_path, says=("b.npy: its labels are missing; put them beside it as b.labels.npy",))
    broken = X.copy()
    broken[7, 2] = np.nan
    np.save(tmp_path / "b.npy", broken)
    np.save(tmp_path / "b.labels.npy", LABELS)
    refused("train", tmp_path, says=("sample 237 holds nan at feature 2; finite numbers are needed",))
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:1000])
    refused("train", tmp_path, says=("b.npy: its header claims",))
    np.save(tmp_path / "b.npy", X[:-1])
    refused("train", tmp_path, says=("b.npy: holds 229 samples, but has 230 labels",))
    np.save(tmp_path / "b.npy", X)
    np.save(tmp_path / "b.labels.npy", NAMES[LABELS])
    refused("train", tmp_path, says=("b.npy: some labels are text, some numbers; give all files one kind",))
    np.save(tmp_path / "b.labels.npy", LABELS[np.newaxis])
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "c.npy")
    assert len(open_dataset(tmp_path)) == 460
    for name in ("a", "b"):
        (tmp_path / f"{name}.labels.npy").unlink()
    np.save(tmp_path / "labels.npy", LABELS)
    refused("train", tmp_path, says=("labels.npy: holds 230 labels for 460 samples; each sample needs one",))
    out = tmp_path / "all.npz"
    np.save(tmp_path / "labels.npy", np.tile(LABELS, 2))
    refused("convert", tmp_path, out, says=(f"all.npz: lies within {tmp_path}, whose arrays are read; give another",))
    np.save(tmp_path / "b.npy", np.array(3.0))
    refused("train", tmp_path, says=("b.npy: is an array of shape () and float64",))


def test_tables_of_labels_go_with_the_files(refused, tmp_path):
    write_exported(tmp_path)
    (tmp_path / "metadata" / "metadata_2.parquet").unlink()
    refused("train", tmp_path, says=("metadata: holds 3 tables for 4 files of samples",))


@pytest.mark.parametrize("together", [False, True])
def test_a_table_of_labels_whose_last_file_has_one_row(tmp_path, together):
    table = np.stack([LABELS == 0, LABELS == 1], axis=1)
    for number, part in enumerate((slice(0, 229), slice(229, 230))):
        np.save(tmp_path / f"part-{number}.npy", X[part])
        if not together:
            np.save(tmp_path / f"part-{number}.labels.npy", table[part])
    if together:
        np.save(tmp_path / "labels.npy", table)
    np.testing.assert_array_equal(open_dataset(tmp_path).labels, table)


def test_what_becomes_of_a_file_while_it_is_read(lazily, tmp_path, monkeypatch):
    write_npy(tmp_path)
    data = open_dataset(tmp_path)
    (tmp_path / "part-2.npy").write_bytes((tmp_path / "part-2.npy").read_bytes()[:300])
    with pytest.raises(fastlr.InputError, match=r"part-2\.npy: cannot be read; it is damaged"):
        fastlr.train(data, solver="lbfgs", form="primal")
    (tmp_path / "part-2.npy").unlink()
    with pytest.raises(fastlr.InputError, match=r"part-2\.npy: cannot be read; .*No such file"):
        fastlr.train(data, solver="lbfgs", form="primal")


def test_a_folder_of_classes_with_an_array_in_it_is_one_of_pictures(tmp_path):
    from conftest import draw_images, write_folder

    images, labels = draw_images()
    write_folder(tmp_path, images, labels)
    np.save(tmp_path / "notes.npy", X)
    assert open_dataset(tmp_path, size=8).classes == ("dark", "light")


def test_rows_that_are_compressed_together_are_read_once():
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return X[start:stop]

    rows = Rows(X.shape, X.dtype, by_bands(read, 100, len(X)))
    found = [rows[start : start + 32] for start in range(0, 230, 32)]
    np.testing.assert_array_equal(np.concatenate(found), X)
    assert asked == [(0, 100), (100, 200), (200, 230)]
    np.testing.assert_array_equal(rows[10:220], X[10:220])
    assert asked[3:] == [(10, 220)]
