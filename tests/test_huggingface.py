"""Parquet files, folders that `save_to_disk` wrote and the objects of `datasets` to a Dataset, and what is refused."""

import io
import json
import sys

import numpy as np
import pytest
from conftest import draw_images, write_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_bad_input import mangle, refusal_of

import fastlr
from fastlr import InputError, open_dataset
from fastlr.data import splits_of, table

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

NAMES = ("dark", "light")
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def encode(image, kind="png"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def with_names(schema, label="label", names=NAMES):
    """Return the schema with Hugging Face's metadata, as `datasets` writes it."""
    features = {"image": {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def make_table(cells=None, labels=None, image="image", label="label", names=NAMES, kind=PICTURE, label_kind=None):
    """Return an Arrow table of pictures and labels, those of `draw_images` unless given."""
    images, drawn = draw_images()
    cells = [{"bytes": encode(picture), "path": None} for picture in images] if cells is None else cells
    labels = drawn.tolist() if labels is None else labels
    made = pa.table({image: pa.array(cells, kind), label: pa.array(labels, label_kind)})
    return made.cast(with_names(made.schema, label, names)) if names else made


def save_arrow(made, folder, shards=1, **state):
    """Write what `Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"data-{i:05d}-of-{shards:05d}.arrow" for i in range(shards)]
    for i, name in enumerate(files):
        start, stop = len(made) * i // shards, len(made) * (i + 1) // shards
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, made.schema) as writer:
            writer.write_table(made.slice(start, stop - start), max_chunksize=5)
    state = {"_data_files": [{"filename": name} for name in files], **state}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def write_parquet(made, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, **options)
    return path


def assert_is_drawn(data, rows=slice(None), classes=NAMES):
    images, labels = draw_images()
    assert data.images.dtype == np.uint8
    assert (data.images == images[rows]).all()
    assert data.labels.tolist() == labels[rows].tolist()
    assert data.classes == classes


@pytest.mark.parametrize("image", ["image", "img"])
@pytest.mark.parametrize("label", ["label", "labels"])
def test_a_parquet_file(tmp_path, image, label):
    path = write_parquet(make_table(image=image, label=label), tmp_path / "any.parquet", row_group_size=5)
    data = open_dataset(path, size=8)
    assert_is_drawn(data)
    assert (data.source, data.resample, splits_of(path)) == (str(path), "bicubic", ())
    assert_is_drawn(open_dataset(path, "test", size=8))


def test_pixels_are_those_of_the_same_pictures_in_a_folder(tmp_path):
    images, labels = draw_images(40, side=16)
    write_folder(tmp_path / "photos", images, labels, suffix="jpg")
    files = sorted((tmp_path / "photos").rglob("*.jpg"))
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    path = write_parquet(make_table(cells, sorted(labels.tolist())), tmp_path / "x.parquet")
    for size, resample in ((5, "lanczos"), (64, "bicubic")):
        ours, theirs = (open_dataset(p, size=size, resample=resample) for p in (path, tmp_path / "photos"))
        assert (ours.images == theirs.images).all()
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert (ours.classes, ours.resample) == (theirs.classes, theirs.resample)


@pytest.mark.parametrize("inside", ["", "data"])
def test_a_folder_of_parquet_files(tmp_path, inside):
    made = make_table()
    for i in range(2):
        name = f"train-0000{i}-of-00002.parquet"
        write_parquet(made.slice(4 * i, 4), tmp_path / inside / name)
    write_parquet(made.slice(8, 2), tmp_path / inside / "test-00000-of-00001.parquet")
    write_parquet(made.slice(10, 2), tmp_path / inside / "validation-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("hello")
    assert splits_of(tmp_path) == ("train", "test")
    train = open_dataset(tmp_path, size=8)
    assert_is_drawn(train, slice(8))
    assert train.source == str(tmp_path / inside)
    assert_is_drawn(open_dataset(tmp_path, "test", size=8), slice(8, 10))
    with pytest.raises(InputError, match="holds no 'validation' split, only train, test"):
        open_dataset(tmp_path, "validation")


def test_validation_is_the_test_where_there_is_no_other(tmp_path):
    made = make_table()
    write_parquet(made.slice(0, 8), tmp_path / "train.parquet")
    write_parquet(made.slice(8), tmp_path / "validation.parquet")
    assert splits_of(tmp_path) == ("train", "test")
    test = open_dataset(tmp_path, "test", size=8)
    assert_is_drawn(test, slice(8, None))
    assert test.source == str(tmp_path / "validation.parquet")


def test_parquet_files_of_other_names_are_one_set(tmp_path):
    write_parquet(make_table().slice(0, 3), tmp_path / "0000.parquet")
    write_parquet(make_table().slice(3), tmp_path / "0001.parquet")
    (tmp_path / ".0002.parquet").write_text("hidden files are passed over")
    assert splits_of(tmp_path) == ()
    assert_is_drawn(open_dataset(tmp_path, size=8))


@pytest.mark.parametrize("shards", [1, 3])
def test_a_folder_that_save_to_disk_wrote(tmp_path, shards):
    save_arrow(make_table(), tmp_path / "saved", shards)
    (tmp_path / "saved" / "cache-1f.arrow").write_text("what Dataset.map left there")
    assert splits_of(tmp_path / "saved") == ()
    assert_is_drawn(open_dataset(tmp_path / "saved", size=8))
    (tmp_path / "saved" / "state.json").unlink()
    assert_is_drawn(open_dataset(tmp_path / "saved", size=8))
    if shards == 1:
        assert_is_drawn(open_dataset(tmp_path / "saved" / "data-00000-of-00001.arrow", size=8))


def save_dict(root, *parts):
    for i, part in enumerate(parts):
        save_arrow(make_table().slice(4 * i, 4), root / part)
    (root / "dataset_dict.json").write_text(json.dumps({"splits": parts}))
    return root


def test_a_saved_dict(tmp_path):
    save_dict(tmp_path, "train", "validation", "test")
    assert splits_of(tmp_path) == ("train", "test")
    assert_is_drawn(open_dataset(tmp_path, size=8), slice(4))
    test = open_dataset(tmp_path, "test", size=8)
    assert_is_drawn(test, slice(8, 12))
    assert test.source == str(tmp_path / "test" / "data-00000-of-00001.arrow")
    assert_is_drawn(open_dataset(tmp_path / "validation", size=8), slice(4, 8))


def test_a_saved_dict_of_other_parts_asks_for_one(tmp_path):
    save_dict(tmp_path, "fold1", "fold2")
    with pytest.raises(InputError, match="holds no folder train, test or validation; give one of the folders in it"):
        open_dataset(tmp_path)
    assert_is_drawn(open_dataset(tmp_path / "fold1", size=8), slice(4))


def test_labels_without_names(tmp_path):
    path = tmp_path / "x.parquet"
    for labels, classes in (
        ([7, 3] * 6, (3, 7)),
        (["no", "yes"] * 6, ("no", "yes")),
        (pa.array(["no", "yes"] * 6).dictionary_encode(), ("no", "yes")),
        ([False, True] * 6, (False, True)),
    ):
        write_parquet(make_table(labels=labels, names=None), path)
        assert open_dataset(path, size=8).classes == classes


def test_pictures_as_plain_bytes(tmp_path):
    cells = [encode(image) for image in draw_images()[0]]
    for kind in (pa.binary(), pa.large_binary()):
        assert_is_drawn(open_dataset(write_parquet(make_table(cells, kind=kind), tmp_path / "x.parquet"), size=8))


@pytest.mark.parametrize("column", ["features", "X", "embedding"])
def test_features(tmp_path, column):
    X = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    labels = pa.array(["a", "b"] * 300)
    kinds = (pa.list_(pa.float32()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 4))
    for kind in kinds:
        made = pa.table({column: pa.array(X.tolist(), kind), "label": labels})
        data = open_dataset(write_parquet(made, tmp_path / "x.parquet"))
        assert data.images.dtype == np.float32
        assert (data.images == X).all()
        assert data.classes == ("a", "b")


def test_more_rows_than_one_batch_and_any_number_of_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BATCH", 5)
    folder = save_arrow(make_table(), tmp_path / "saved")
    write_parquet(make_table(), tmp_path / "x.parquet")
    for path in (folder, tmp_path / "x.parquet"):
        for threads in (1, 3):
            assert_is_drawn(open_dataset(path, size=8, threads=threads))


def test_the_command_line_takes_them(tmp_path, fastlr_command):
    made = make_table()
    write_parquet(made.slice(0, 8), tmp_path / "hf" / "data" / "train-00000-of-00001.parquet")
    write_parquet(made.slice(8), tmp_path / "hf" / "data" / "validation-00000-of-00001.parquet")
    model = tmp_path / "m.safetensors"
    outcome = fastlr_command("train", tmp_path / "hf", "--size", 8, "--model", model, "--positive", "dark", "--json")
    assert outcome.status == 0, outcome.err
    assert (outcome.json["n_train"], outcome.json["n_test"]) == (8, 4)
    assert outcome.json["classes"] == ["light", "dark"]
    outcome = fastlr_command("evaluate", model, tmp_path / "hf", "--json")
    assert outcome.json["n"] == 4
    assert fastlr_command("convert", tmp_path / "hf", tmp_path / "x.npz", "--size", 8).status == 0
    assert_is_drawn(open_dataset(tmp_path / "x.npz", "test"), slice(8, None))


BAD_CELLS = [
    (None, "holds no picture"),
    ({"bytes": None, "path": None}, "holds no picture"),
    ({"bytes": None, "path": "/etc/hostname.png"}, "holds only a path, and none is followed"),
    ({"bytes": b"hello", "path": None}, "not a picture that can be read"),
    ({"bytes": b"", "path": None}, "not a picture that can be read"),
    ({"bytes": encode(draw_images()[0][0], "jpeg")[:-30], "path": None}, "cannot be read as a picture"),
    (
        {"bytes": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "path": None},
        "refused, PostScript is",
    ),
]


@pytest.mark.parametrize(("cell", "words"), BAD_CELLS)
def test_what_is_no_picture_is_named_or_skipped(tmp_path, refused, cell, words):
    cells = [{"bytes": encode(image), "path": None} for image in draw_images()[0]]
    cells[7] = cell
    path = write_parquet(make_table(cells), tmp_path / "x.parquet", row_group_size=4)
    refused("train", path, says=(f"{path}: row 7, column 'image': {words}", "remove it, or give skip_bad (--skip-bad)"))
    data = open_dataset(path, size=8, skip_bad=True)
    assert_is_drawn(data, np.arange(12) != 7)
    assert len(data.skipped) == 1
    assert data.skipped[0].startswith(f"{path}: row 7, column 'image': {words}")


def test_a_path_is_not_followed_even_to_a_picture_beside(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    cells = [{"bytes": None, "path": path} for path in ("a.png", str(tmp_path / "a.png"))]
    path = write_parquet(make_table(cells, [0, 1]), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"row 0, column 'image': holds only a path, and none is followed"):
        open_dataset(path)
    with pytest.raises(InputError, match="none of its files is a picture that can be read; the first: "):
        open_dataset(path, skip_bad=True)


def test_a_decompression_bomb_in_a_table(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    bomb = encode(np.zeros((3000, 3000), bool))
    path = write_parquet(make_table([{"bytes": bomb, "path": None}], [0]), tmp_path / "x.parquet")
    refused("train", path, says=("row 0, column 'image': refused, it is too large a picture",))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"label": "target"},
            "holds no column 'label' or 'labels' with the labels; it holds image, target; rename one",
        ),
        ({"image": "photo"}, "holds no column 'image' or 'img' or 'features' or 'X' or 'embedding' with pictures or f"),
        ({"labels": [0, 1, None] * 4}, "row 2, column 'label': holds no label; leave such rows out"),
        ({"labels": [0, 1, -1] * 4}, "row 2, column 'label': -1 is no label, there are names for 0 to 1; leave such"),
        ({"labels": [0, 1, 1, 2] * 3}, "row 3, column 'label': 2 is no label, there are names for 0 to 1"),
        ({"labels": [0, 2**63] * 6, "label_kind": pa.uint64()}, "row 1, column 'label': 9223372036854775808 is no"),
        ({"labels": [0.0, 1.0] * 6}, "column 'label': it is of type double; whole numbers or text are needed"),
        ({"labels": [[0], [1]] * 6}, "column 'label': it is of type list<"),
        ({"labels": ["a", "b"] * 6}, "labels are text, but the class names need whole numbers"),
        ({"names": ("a", "a")}, "two classes have the same name; it has a, a"),
        ({"cells": ["a"] * 12, "kind": pa.string()}, "column 'image': it is of type string; encoded pictures, a st"),
        ({"cells": [{"path": "a"}] * 12, "kind": pa.struct([("path", pa.string())])}, "column 'image': it is of type"),
        ({"cells": [], "labels": [], "label_kind": pa.int64()}, "holds no rows; at least one sample of each class"),
    ],
)
def test_other_columns_are_named(tmp_path, refused, changes, words):
    made = make_table(**changes)
    path = write_parquet(made, tmp_path / "x.parquet")
    refused("train", path, says=(f"{path}: {words}",))
    folder = save_arrow(made, tmp_path / "saved")
    refused("train", folder, says=(f"data-00000-of-00001.arrow: {words}",))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[1.0, 2.0], [3.0]], "row 1, column 'X': holds 1 numbers; each row needs as many (2)"),
        ([[1.0, 2.0], None], "row 1, column 'X': holds 0 numbers"),
        ([None, [1.0]], "row 0, column 'X': holds 0 numbers"),
        ([[1.0], [None]], "sample 1 holds nan at feature 0; finite numbers are needed"),
        ([["a"], ["b"]], "column 'X': it holds lists of text; lists of numbers are needed"),
        ([[[1.0]], [[2.0]]], "column 'X': it is of type list<element: list<element: double>>; lists of numbers"),
        ([1.0, 2.0], "column 'X': it is of type double; lists of numbers are needed"),
    ],
)
def test_features_of_other_shapes_are_named(tmp_path, refused, rows, words):
    path = write_parquet(pa.table({"X": rows, "label": [0, 1]}), tmp_path / "x.parquet")
    refused("train", path, says=(f"{path}: {words}",))


def test_files_that_are_cut_short_or_missing(tmp_path, refused):
    path = write_parquet(make_table(), tmp_path / "hf" / "train-00000-of-00002.parquet")
    refused("train", tmp_path / "hf", says=("hf: train-00001-of-00002.parquet is missing; get all of its 2 files",))
    path.write_bytes(path.read_bytes()[:-9])
    refused("train", path, says=(f"{path}: cannot be read; it is damaged or of another kind",))

    folder = save_arrow(make_table(), tmp_path / "saved", shards=2)
    file = folder / "data-00001-of-00002.arrow"
    whole = file.read_bytes()
    file.write_bytes(whole[:-8])  # well-formed for Arrow: the end of a stream may go unmarked
    refused("train", folder, says=(f"{file}: cut short, or not a file that save_to_disk wrote; copy it again",))
    file.write_bytes(whole[:-300] + whole[-8:])
    refused("train", folder, says=(f"{file}: cannot be read; it is damaged",))
    file.unlink()
    refused("train", folder, says=("'data-00001-of-00002.arrow' is missing, which state.json names",))
    (folder / "state.json").write_text('{"_data_files": [{"filename": "../data-00000-of-00002.arrow"}]}')
    refused("train", folder, says=("state.json: refused, it names '../data-00000-of-00002.arrow'",))
    (folder / "state.json").write_text("{")
    refused("train", folder, says=("state.json: cannot be read; it is damaged",))
    (folder / "state.json").write_text('{"_data_files": []}')
    refused("train", folder, says=("saved: holds no .arrow files; it is not all of what save_to_disk wrote",))


def test_parts_that_differ_in_their_names(tmp_path, refused):
    write_parquet(make_table(), tmp_path / "a.parquet")
    write_parquet(make_table(names=("black", "white")), tmp_path / "b.parquet")
    refused("train", tmp_path, says=("b.parquet: its class names differ from those of", "a.parquet"))


@pytest.mark.parametrize("content", ["{", '{"info": {"features": {"label": {"names": "ab"}}}}', '{"info": []}'])
def test_metadata_that_is_damaged(tmp_path, refused, content):
    made = make_table(names=None).replace_schema_metadata({"huggingface": content})
    path = write_parquet(made, tmp_path / "x.parquet")
    refused("train", path, says=(f"{path}: cannot be read; it is damaged",))


def test_a_file_that_claims_more_rows_than_it_may(tmp_path, refused):
    path = write_parquet(pa.table({"label": pa.nulls(100_000)}), tmp_path / "x.parquet")
    refused("train", path, "--max-expansion", "1,1K", says=(f"{path}: a table of 100,000 rows takes 100,000 bytes",))


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, refused, monkeypatch):
    path = write_parquet(make_table(), tmp_path / "x.parquet")
    folder = save_arrow(make_table(), tmp_path / "saved")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused("train", path, says=(f"{path}: reading it needs pyarrow; pip install '.[hf]'",))
    refused("train", folder, says=("reading it needs pyarrow; pip install '.[hf]'",))


class Trap(pa.ExtensionType):
    """An extension type whose Python code must not be reached."""

    def __init__(self):
        super().__init__(pa.binary(), "fastlr.trap")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


def test_extension_types_are_refused(tmp_path, refused):
    images, labels = draw_images()
    cells = pa.ExtensionArray.from_storage(Trap(), pa.array([encode(image) for image in images]))
    pa.register_extension_type(Trap())
    try:
        path = write_parquet(pa.table({"image": cells, "label": labels}), tmp_path / "x.parquet")
        refused("train", path, says=(f"{path}: column 'image': it is of type extension<fastlr.trap",))
    finally:
        pa.unregister_extension_type("fastlr.trap")
    # Where nobody registered it, its name is a note in the schema, and the bytes are what they are.
    assert len(open_dataset(path, size=8)) == 12


@pytest.mark.parametrize("kind", ["parquet", "arrow", "state.json"])
@settings(deadline=None)
@given(data=st.data())
def test_mangled_bytes_never_end_in_a_traceback(tmp_path_factory, kind, data):
    root = tmp_path_factory.mktemp("mangled")
    if kind == "parquet":
        path = file = write_parquet(make_table(), root / "x.parquet")
    else:
        path = save_arrow(make_table(), root / "saved")
        file = path / ("state.json" if kind == "state.json" else "data-00000-of-00001.arrow")
    content = file.read_bytes()
    if kind == "parquet" and data.draw(st.booleans()):  # what makes sense of it is at its end
        file.write_bytes(mangle(data, content[::-1])[::-1])
    else:
        file.write_bytes(mangle(data, content))
    refusal = refusal_of(lambda: open_dataset(path, size=8))
    assert refusal is None or ("\n" not in refusal and str(root) in refusal)


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")


@pytest.fixture
def drawn(datasets):
    """Return the drawn pictures as a Dataset of that library."""
    images, labels = draw_images()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})
    pictures = [Image.fromarray(image) for image in images]
    return datasets.Dataset.from_dict({"image": pictures, "label": labels.tolist()}, features=features)


def test_an_object_of_datasets(drawn):
    data = open_dataset(drawn, size=8)
    assert_is_drawn(data)
    assert (data.source, data.resample) == ("dataset", "bicubic")
    assert open_dataset(drawn, size=8, positive="dark").classes == ("light", "dark")
    rows = [7, 2, 9]
    assert_is_drawn(open_dataset(drawn.select(rows), size=8), rows)
    assert_is_drawn(open_dataset(drawn.with_format("numpy"), size=8))


def test_a_dict_of_datasets(datasets, drawn):
    parts = datasets.DatasetDict(train=drawn.select(range(8)), validation=drawn.select(range(8, 12)))
    assert_is_drawn(open_dataset(parts, size=8), slice(8))
    assert_is_drawn(open_dataset(parts, "test", size=8), slice(8, 12))
    assert_is_drawn(open_dataset(parts, "validation", size=8), slice(8, 12))
    parts["test"] = drawn.select([0, 1])
    assert_is_drawn(open_dataset(parts, "test", size=8), slice(2))
    with pytest.raises(InputError, match="dataset: holds no 'extra' split, only train, validation, test"):
        open_dataset(parts, "extra")


def test_training_on_objects_of_datasets(datasets, drawn):
    expected = fastlr.train(open_dataset(drawn), test=open_dataset(drawn), iterations=20, record_every=5)
    parts = datasets.DatasetDict(train=drawn, test=drawn)
    for data, test in ((drawn, drawn), (parts, parts)):
        run = fastlr.train(data, test=test, iterations=20, record_every=5)
        assert run.costs == expected.costs
        assert (run.test_accuracy, run.model.classes) == (expected.test_accuracy, NAMES)
    (run,) = fastlr.sweep(drawn, test=drawn, iterations=20, record_every=5)
    assert run.costs == expected.costs
    with pytest.raises(InputError, match="a Dataset has its own"):
        fastlr.train(drawn, [0, 1] * 6)


def test_what_datasets_itself_writes(datasets, drawn, tmp_path, capsys):
    drawn.save_to_disk(tmp_path / "saved", num_shards=2)
    datasets.DatasetDict(train=drawn, test=drawn.select([3, 4])).save_to_disk(tmp_path / "dict")
    drawn.to_parquet(tmp_path / "x.parquet")
    capsys.readouterr()
    for path in (tmp_path / "saved", tmp_path / "dict", tmp_path / "x.parquet"):
        assert_is_drawn(open_dataset(path, size=8))
    assert_is_drawn(open_dataset(tmp_path / "dict", "test", size=8), [3, 4])
    assert_is_drawn(open_dataset(datasets.load_from_disk(tmp_path / "saved"), size=8))


def test_features_of_an_object(datasets):
    X = np.random.default_rng(0).normal(size=(10, 3))
    data = open_dataset(datasets.Dataset.from_dict({"X": X.tolist(), "label": [0, 1] * 5}))
    assert (data.images == X).all()
    assert data.classes == (0, 1)


def test_pictures_outside_of_an_object(datasets, tmp_path):
    path = str(tmp_path / "a.png")
    Image.new("RGB", (8, 8)).save(path)
    outside = datasets.Dataset.from_dict({"image": [path], "label": [0]}).cast_column("image", datasets.Image())
    with pytest.raises(InputError, match=r"dataset: row 0, column 'image': holds only a path"):
        open_dataset(outside)
    outside.save_to_disk(tmp_path / "saved")
    assert len(open_dataset(tmp_path / "saved")) == 1, "the advice of the error holds"


def test_a_stream_of_datasets_is_refused(drawn):
    with pytest.raises(
        InputError, match="dataset: IterableDataset is not read; give a Dataset, loaded without streaming"
    ):
        open_dataset(drawn.to_iterable_dataset())
