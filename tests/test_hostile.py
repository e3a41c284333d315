"""Files made to hang, crash, fill the memory or reach outside: each is refused in one line, soon, in little memory."""

import bz2
import gzip
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pytest
from conftest import draw_images, write_folder
from PIL import Image
from pyarrow import parquet

import fastlr
from fastlr.data import hdf5_opener
from fastlr.data.expansion import Expansion, as_expansion
from fastlr.data.picture import _webp_size

IMAGES, LABELS = draw_images()


def most_memory():
    """Return the most bytes that this process has taken so far, 0 on Windows, which does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture
def hostile(tmp_path):
    """Refuse a file within 4 s and 200 MB, in one line that names it and says these words."""

    def check(path, *words, **options):
        before, started = most_memory(), time.perf_counter()
        with pytest.raises(fastlr.InputError) as raised:
            fastlr.open_dataset(path, size=8, **options)
        grown = most_memory() - before
        assert time.perf_counter() - started < 4  # other tests run beside this one
        assert grown < 200_000_000
        message = str(raised.value)
        assert "\n" not in message
        assert str(tmp_path) in message or str(path) in message
        for word in words:
            assert word in message

    return check


def write_hdf5(path, **storage):
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, **storage)
        file["labels"] = LABELS
        file["list_classes"] = np.array([b"dark", b"light"])
    return path


STORAGE = {
    "contiguous": {},
    "chunks": {"chunks": (5, 3, 8, 2)},
    "gzip": {"compression": "gzip", "chunks": (5, 8, 8, 3)},
    "gzip and shuffle": {"compression": "gzip", "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "fletcher32": {"fletcher32": True, "compression": "gzip"},
    "big-endian": {"dtype": ">i2"},
    "bool": {"dtype": "?"},
    "half": {"dtype": "f2"},
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("name", STORAGE)
def test_hdf5_is_read_however_it_is_stored(tmp_path, name, libver, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w", libver=libver, userblock_size=512) as file:
        file.create_dataset("images", data=IMAGES, **STORAGE[name])
        file["labels"] = [["dark", "light"][label] for label in LABELS]  # text of variable length
        plain = file["images"][()]
    opened = fastlr.open_dataset(tmp_path / "x.h5")
    assert opened.classes == ("dark", "light")
    np.testing.assert_array_equal(opened.labels, LABELS)
    np.testing.assert_array_equal(opened.rows, plain.reshape(12, -1))
    # A new interpreter in place of a copy of this process, as where there are other threads.
    hdf5_opener.opener().end()
    monkeypatch.setattr(hdf5_opener, "can_fork", lambda: False)
    assert fastlr.open_dataset(tmp_path / "x.h5") == opened
    hdf5_opener.opener().end()


def test_hdf5_of_odd_shapes(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((12, 2))
        made = h5py.h5d.create(file.id, b"images", h5py.h5t.NATIVE_DOUBLE, space, compact)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(24.0).reshape(12, 2))
        file.create_dataset("labels", shape=(12,), fillvalue=3, dtype="i4")  # never written
        file["labels"][0] = 2
    opened = fastlr.open_dataset(tmp_path / "x.h5")
    assert opened.images[11, 1] == 23
    assert opened.classes == (2, 3)


def test_hdf5_does_not_reach_outside(tmp_path, hostile):
    with h5py.File(tmp_path / "storage.h5", "w") as file:
        file["labels"] = LABELS[:4]
        file.create_dataset("images", (4, 12), "u1", external=[("/etc/passwd", 0, 48)])
    hostile(tmp_path / "storage.h5", "'images' lies in another file (external storage)")
    write_hdf5(tmp_path / "real.h5")
    for name, link in {"link": h5py.ExternalLink("real.h5", "images"), "soft": h5py.SoftLink("/other")}.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["images"], file["other"], file["labels"] = link, IMAGES, LABELS
        hostile(tmp_path / f"{name}.h5", "'images' is a soft or external link")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout(IMAGES.shape, "u1")
        layout[:] = h5py.VirtualSource("none.h5", "images", IMAGES.shape)
        file.create_virtual_dataset("images", layout)
        file["labels"] = LABELS
    hostile(tmp_path / "virtual.h5", "'images' lies in other files (a virtual dataset)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_hdf5_does_not_wait_for_a_pipe(tmp_path, hostile):
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "storage.h5", "w") as file:
        file["labels"] = LABELS[:4]
        file.create_dataset("images", (4, 12), "u1", external=[("pipe", 0, 48)])
    hostile(tmp_path / "storage.h5", "external storage")


@pytest.mark.parametrize("number", [1, 2])
def test_hdf5_in_which_the_library_loops(hostile, real_data, number):
    hostile(real_data / "hostile" / f"vlen-loop-{number}.h5", "reading its structure does not end")


def test_hdf5_chunks_that_are_empty_or_too_large(tmp_path, hostile):
    path = write_hdf5(tmp_path / "x.h5", chunks=IMAGES.shape, fletcher32=True)
    size, whole = struct.pack("<I", IMAGES.size + 4), path.read_bytes()
    assert whole.count(size) == 1
    path.write_bytes(whole.replace(size, bytes(4)))
    hostile(path, "is too small or reaches past the end of the file")
    path.write_bytes(whole.replace(size, b"\xff\xff\xff\x7f"))
    hostile(path, "is too small or reaches past the end of the file")
    with h5py.File(tmp_path / "large.h5", "w") as file:
        made = file.create_dataset("images", (20_000, 20_000), "u1", chunks=(20_000, 20_000), compression="gzip")
        file["labels"] = LABELS
        made.id.write_direct_chunk((0, 0), bytes(1000))
    hostile(tmp_path / "large.h5", "'images' takes 400,000,000 bytes", "--max-expansion")


@pytest.mark.parametrize(
    "options",
    [
        {"maxshape": (None,)},
        {"chunks": (2,)},
        {"chunks": (2,), "compression": "lzf"},
        {"chunks": (3,), "fletcher32": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["u1", "<i2", "?"])
def test_hdf5_of_small_chunks(tmp_path, dtype, options):
    labels = np.array([0, 1, 1], dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = IMAGES[:3]
        file.create_dataset("labels", data=labels, **options)
    assert fastlr.open_dataset(tmp_path / "x.h5").labels.tolist() == [0, 1, 1]


def test_hdf5_of_many_arrays_and_of_many_chunks(tmp_path, hostile, monkeypatch):
    from pathlib import Path

    monkeypatch.setattr(sys, "path", [*sys.path, Path("not text")])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(120):
            file[f"a{number:03}"] = number
        file.create_dataset(
            "train_set_x", data=np.arange(60_000, dtype=np.uint8).reshape(-1, 1), chunks=(1, 1), compression=1
        )
        file["train_set_y"] = np.arange(60_000) % 2
    data = fastlr.open_dataset(tmp_path / "x.h5")
    assert (data.images[:, 0] == np.arange(60_000) % 256).all()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        for number in range(120):
            file[f"a{number:03}"] = number
    hostile(tmp_path / "other.h5", "holds no 'images'; it holds a000, a001", "and 108 more")
    with h5py.File(tmp_path / "wide.h5", "w") as file:  # 16 bytes in chunks that expand to 512 MiB
        file.create_dataset("images", (16, 1), "u1", chunks=(1, 2**25), maxshape=(16, None), compression=1)[...] = 1
        file["labels"] = np.arange(16) % 2
    hostile(tmp_path / "wide.h5", "'images' takes 536,870,912 bytes when it is read")


def test_class_names_that_are_too_many_or_too_long(tmp_path, hostile):
    np.savez(tmp_path / "many.npz", X=np.zeros((100_001, 1), np.float32), y=np.arange(100_001))
    hostile(tmp_path / "many.npz", "has more than 100,000 classes")
    np.savez_compressed(tmp_path / "long.npz", X=np.zeros((2, 1)), y=["a" * 1_000_000, "b"])
    hostile(tmp_path / "long.npz", "a name of 1,000,000 characters")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = IMAGES[:2], [0, 1]
        file.create_dataset("list_classes", (8_000_000,), "S2", chunks=True)
    hostile(tmp_path / "x.h5", "has more than 100,000 classes")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["images"], file["labels"] = IMAGES[:2], [0, 1]
        file["list_classes"] = ["a" * 1_000_000, *["b"] * 300]
    hostile(tmp_path / "y.h5", "a class has a name of 1,000,000 characters")
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|S0", "fortran_order": False, "shape": (10**9,)})
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        for name, values in (("images", IMAGES[:2]), ("labels", np.arange(2))):
            part = io.BytesIO()
            np.save(part, values)
            archive.writestr(f"{name}.npy", part.getvalue())
        archive.writestr("classes.npy", file.getvalue())
    hostile(tmp_path / "z.npz", "its text has no characters")


def test_a_child_that_the_user_forks_leaves_the_process_that_opens_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"], file["labels"] = IMAGES[:4], [0, 1, 0, 1]
    code = f"""
import os, sys, fastlr
fastlr.open_dataset({str(tmp_path / "x.h5")!r})
if os.fork() == 0:
    sys.exit(0)
assert os.wait()[1] == 0
print(len(fastlr.open_dataset({str(tmp_path / "x.h5")!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_hdf5_filters_types_and_names(tmp_path, hostile):
    hostile(
        write_hdf5(tmp_path / "f.h5", scaleoffset=True), "is stored with filter 6", "gzip, shuffle, fletcher32, lzf"
    )
    for name, value in {
        "compound": np.zeros(12, [("a", "i4"), ("b", "f8")]),
        "empty": h5py.Empty("f8"),
    }.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["images"], file["labels"] = value, LABELS
        hostile(tmp_path / f"{name}.h5", "'images' is ")
    with h5py.File(tmp_path / "scalar.h5", "w") as file:
        file["images"], file["labels"], file["list_classes"] = IMAGES, LABELS, b"ab"
    hostile(tmp_path / "scalar.h5", "the names of its classes are \"b'ab'\"; a list of them is needed")


def test_hdf5_of_which_a_part_cannot_be_read(tmp_path, hostile):
    path = write_hdf5(tmp_path / "x.h5", chunks=(6, 8, 8, 3), fletcher32=True)
    content = bytearray(path.read_bytes())
    content[content.index(IMAGES[6:].tobytes()) + 5] ^= 1  # the second chunk's checksum tells
    path.write_bytes(content)
    hostile(path, "x.h5: cannot be read; it is damaged", "bytes of it cannot be read")
    assert len(fastlr.open_dataset(write_hdf5(tmp_path / "y.h5"))) == 12


def test_hdf5_from_many_threads(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path = write_hdf5(tmp_path / "x.h5", compression="gzip")
    with ThreadPoolExecutor(8) as pool:
        assert all(len(data) == 12 for data in pool.map(lambda _: fastlr.open_dataset(path), range(40)))


def test_the_process_that_opens_hdf5_may_end_between_two_files(tmp_path):
    path = write_hdf5(tmp_path / "x.h5")
    fastlr.open_dataset(path)
    hdf5_opener.opener().running.kill()
    assert len(fastlr.open_dataset(path)) == 12
    assert len(fastlr.open_dataset(path)) == 12


def write_pickle(path, *opcodes):
    path.write_bytes(b"\x80\x02" + b"".join(opcodes) + b".")
    return path


def test_pickles_that_are_nested(tmp_path, hostile):
    hostile(write_pickle(tmp_path / "a.pkl", b"}()", b"\x85" * 60, b"K\x01u"), "'tuples in tuples'")
    hostile(write_pickle(tmp_path / "b.pkl", b"}(", b"U\x01a]", b"]a", b"u"), "'a list of lists'")
    hostile(write_pickle(tmp_path / "c.pkl", b"}(U\x01a}u"), "'a dictionary in another'")
    hostile(write_pickle(tmp_path / "d.pkl", b"}(K\x01K\x01u"), "'a key that is no short text'")
    hostile(write_pickle(tmp_path / "e.pkl", b"\x96", struct.pack("<Q", 4_200_000_000)), "more bytes than it holds")
    hostile(write_pickle(tmp_path / "f.pkl", b"\x8f(K\x01\x90"), "'objects, sets, copies or bytes")


def test_class_names_in_a_pickle_that_are_no_text(tmp_path, hostile):
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps(batch, 2))
    write_pickle(tmp_path / "batches.meta", b"}U\x0blabel_names(K\x01", 25 * b"\x85", b"K\x02ls")
    hostile(tmp_path, "batches.meta", "'tuples in tuples'")
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a" * 2000, "b"]}))
    hostile(tmp_path, "batches.meta", "a class has a name of 2,000 characters")
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": list(map(str, range(100_001)))}))
    hostile(tmp_path, "batches.meta", "has more than 100,000 classes")


def test_pickles_that_make_much_of_little(tmp_path, hostile):
    text = b"cnumpy\nndarray\nc_codecs\nencode\n(X" + struct.pack("<I", 100_000) + b"a" * 100_000 + b"t\x94"
    again = b"c_codecs\nencode\nh\x00R0" * 3000
    hostile(write_pickle(tmp_path / "a.pkl", text, again, b"}"), "more bytes than it holds")
    hostile(write_pickle(tmp_path / "b.pkl", b"]X", struct.pack("<I", 1000), b"a" * 1000, b"2" * 10, b"e"), "copies")
    hostile(write_pickle(tmp_path / "c.pkl", b"c_codecs\nencode\n]R"), "'a call'")


def test_npz_that_expands(tmp_path, hostile):
    zeros = io.BytesIO()
    np.lib.format.write_array(zeros, np.zeros((2, 10_000_000)))
    for method, words in {
        zipfile.ZIP_BZIP2: "is not compressed as NumPy does",
        zipfile.ZIP_DEFLATED: "'X.npy' takes 160,000,128 bytes when it is read",
    }.items():
        with zipfile.ZipFile(tmp_path / "x.npz", "w", method) as archive:
            archive.writestr("X.npy", zeros.getvalue())
            archive.writestr("y.npy", b"")
        hostile(tmp_path / "x.npz", words)


def test_npy_whose_header_lies(tmp_path, hostile):
    np.save(tmp_path / "x.labels.npy", LABELS)
    for shape, words in {
        (2**40, 5): "its header claims 43,980,465,111,040 bytes",
        (-1, 5): "its shape is (-1, 5)",
    }.items():
        with (tmp_path / "x.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        hostile(tmp_path / "x.npy", words)


def test_idx_that_expands(tmp_path, hostile):
    with gzip.open(tmp_path / "train-images-idx3-ubyte.gz", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">III", 200, 1000, 1000))
        for _ in range(200):
            file.write(bytes(1_000_000))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 200) + bytes(200))
    hostile(tmp_path, "what its header claims takes 200,000,000 bytes")


def test_tables_that_expand(tmp_path, hostile):
    labels, path = pa.array(LABELS), tmp_path / "x.parquet"
    lists = pa.ListArray.from_arrays(pa.array([0] * 12 + [20_000_000], pa.int32()), pa.array(np.zeros(20_000_000)))
    parquet.write_table(pa.table({"features": lists, "label": labels}), path, compression="zstd")
    hostile(path, "column 'features' takes 160,0")
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 12, pa.int32()), pa.array([bytes(20_000_000)]))
    parquet.write_table(
        pa.table({"image": cells, "label": labels}), path, compression="zstd", dictionary_pagesize_limit=2**30
    )
    hostile(path, "column 'image'")
    texts = pa.array(["a" * 1_000_000, "b"] * 6)
    parquet.write_table(pa.table({"features": [[1.0]] * 12, "label": texts}), path)
    hostile(path, "column 'label': holds text of more than 4000 bytes")
    table = pa.table({"features": [[1.0]] * 12, "label": labels})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema, options=options) as out,
    ):
        out.write_table(table)
    hostile(tmp_path / "x.arrow", "its columns are compressed")


def test_parquet_whose_description_lies(tmp_path, hostile):
    """The sizes in the description of a column are changed; those in the pages are what pyarrow takes."""
    table = pa.table({"image": [b"x" * 140_000_000], "label": [0]})
    parquet.write_table(table, tmp_path / "x.parquet", compression="zstd", use_dictionary=False)
    column = parquet.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(0)
    content = (tmp_path / "x.parquet").read_bytes()
    size = column.total_uncompressed_size
    coded = bytes([2 * size >> 7 * i & 127 | (128 if i < 4 else 0) for i in range(5)])  # a zigzag number of five bytes
    place = content.rindex(coded[: 4 if not coded[4] else 5])
    del table
    (tmp_path / "x.parquet").write_bytes(content[:place] + b"\x94\x80\x80\x80\0"[: len(coded)] + content[place + 5 :])
    lying = parquet.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(0)
    assert lying.total_uncompressed_size == 10
    hostile(tmp_path / "x.parquet", "column 'image' takes 140,0")


def test_parquet_of_wide_values_and_of_lists_of_text(tmp_path, hostile):
    wide = pa.array([b"x" * 1_000_000] * 400, pa.binary(1_000_000))
    parquet.write_table(
        pa.table({"image": wide, "label": pa.array([0, 1] * 200)}), tmp_path / "x.parquet", compression="zstd"
    )
    del wide
    hostile(tmp_path / "x.parquet", "column 'image' takes 40")
    parquet.write_table(pa.table({"X": [["a"], ["b"]], "label": [0, 1]}), tmp_path / "y.parquet")
    hostile(tmp_path / "y.parquet", "it holds lists of text")


def test_arrow_messages_with_metadata_of_their_own(tmp_path, hostile):
    batch = pa.record_batch({"X": pa.array([[1.0], [2.0]]), "label": pa.array([0, 1])})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch, custom_metadata={"ARROW:experimental_compression": "zstd"})
    hostile(tmp_path / "x.arrow", "a message in it has metadata of its own")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies of a process are made on Linux alone")
def test_copies_of_a_process_that_cannot_be_made_leave_nothing_open(tmp_path, monkeypatch):
    from fastlr import machine

    parquet.write_table(pa.table({"X": [[1.0], [2.0]], "label": [0, 1]}), tmp_path / "x.parquet")
    monkeypatch.setattr(machine, "can_fork", lambda: True)
    monkeypatch.setattr(os, "fork", lambda: (_ for _ in ()).throw(BlockingIOError(11, "too many")))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(fastlr.InputError, match=r"no process can be started to look at it \(too many\)"):
        fastlr.open_dataset(tmp_path / "x.parquet")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies of a process are made on Linux alone")
def test_a_copy_that_computes_for_ever_is_ended_and_not_tried_again():
    code = """
from fastlr.machine import in_a_copy
def endless():
    while True:
        pass
try:
    in_a_copy(endless, 0.5)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.stdout == "reading its structure does not end\n", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="copies of a process are made on Linux alone")
def test_a_library_that_ends_the_process_ends_a_copy_of_it():
    code = """
import os
from fastlr.machine import in_a_copy
print(in_a_copy(lambda: {"a": [1, None]}))
for work in (os.abort, lambda: {}["wrong"]):
    try:
        in_a_copy(work)
    except ValueError as error:
        print(error)
"""
    code += """
import os, time
parent = os.getpid()
print(in_a_copy(lambda: time.sleep(0 if os.getpid() == parent else 60), 0.2))
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert outcome.stdout == "{'a': [1, None]}\nits library fails on it, status -6\n'wrong'\nNone\n"
    assert outcome.stderr == ""


def test_pictures_that_expand(tmp_path, hostile):
    write_folder(tmp_path, IMAGES[:2], LABELS[:2])
    Image.new("1", (8000, 8000)).save(tmp_path / "dark" / "bomb.png")
    hostile(tmp_path, "bomb.png: the picture takes 256,000,000 bytes", "--max-expansion")
    assert len(fastlr.open_dataset(tmp_path, size=8, skip_bad=True)) == 2
    assert len(fastlr.open_dataset(tmp_path, size=8, max_expansion="300M")) == 3
    (tmp_path / "dark" / "bomb.png").unlink()
    webp = io.BytesIO()
    Image.new("RGB", (8, 8)).save(webp, "WEBP", lossless=True)
    content = bytearray(webp.getvalue())
    content[21:25] = (16381 | 16381 << 14).to_bytes(4, "little")
    (tmp_path / "dark" / "bomb.webp").write_bytes(content)
    hostile(tmp_path, "bomb.webp: the picture takes 1,073,", "--max-expansion")


@pytest.mark.parametrize(
    "options", [{}, {"lossless": True}, {"exif": b"Exif\0\0"}, {"lossless": True, "exif": b"Exif\0\0"}]
)
def test_the_size_of_a_webp_picture_is_known_before_it_is_opened(options):
    file = io.BytesIO()
    Image.new("RGB", (123, 45)).save(file, "WEBP", **options)
    file.seek(0)
    assert _webp_size(file) == (123, 45)


def test_what_is_no_file_among_pictures_is_said(tmp_path, hostile):
    write_folder(tmp_path, IMAGES[:2], LABELS[:2])
    (tmp_path / "dark" / "broken.png").symlink_to("nowhere")
    hostile(tmp_path, "broken.png: no such file; remove it, or give skip_bad (--skip-bad)")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "dark" / "a-pipe.png")
        hostile(tmp_path, "a-pipe.png: is a device, pipe or socket, not a picture")
        (tmp_path / "dark" / "a-pipe.png").unlink()
    (tmp_path / "dark" / "broken.png").unlink()
    (tmp_path / "dark" / "inner").mkdir()
    hostile(tmp_path, "inner: is a folder, not a picture; remove it, or give skip_bad (--skip-bad)")
    (tmp_path / "unmounted").symlink_to("nowhere")
    hostile(tmp_path, "unmounted: is a link that leads nowhere; mend or remove it")


def test_safetensors_that_numpy_cannot_hold(tmp_path, hostile):
    described = {
        "features": {"dtype": "F8_E4M3", "shape": [12, 5], "data_offsets": [0, 60]},
        "labels": {"dtype": "U8", "shape": [12], "data_offsets": [60, 72]},
    }
    header = json.dumps(described).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(72))
    hostile(tmp_path / "x.safetensors", "'features' is of type F8_E4M3, which NumPy does not have")


def test_names_in_one_line_errors(tmp_path, hostile):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("first\nsecond\x1b[31m.npy", b"")
    hostile(tmp_path / "x.npz", r"it holds first\nsecond\x1b[31m")
    assert str(fastlr.InputError("a\nb")) == r"a\nb"


@pytest.mark.parametrize(
    ("text", "expansion"),
    [
        (None, Expansion()),
        ("1000", Expansion(ratio=1000)),
        (50, Expansion(ratio=50)),
        ("4G", Expansion(size=2**32)),
        ("1.5MiB", Expansion(size=3 * 2**19)),
        ("1000,4gb", Expansion(1000, 2**32)),
        (2**62, Expansion(ratio=2**62)),
    ],
)
def test_how_much_a_file_may_expand_to(text, expansion):
    assert as_expansion(text) == expansion


def test_the_larger_of_ratio_and_size_counts():
    assert Expansion(100, 2000).most(50) == 5000
    assert Expansion(100, 2000).most(5) == 2000


@pytest.mark.parametrize(
    "text", ["many", "-1", "nan", "inf", "0", "1,2", "4G,5G", "1,4G,2", "9" * 400 + "T", "1e308", str(2**63)]
)
def test_wrong_expansions_are_refused(text, refused, tmp_path):
    write_folder(tmp_path, IMAGES[:2], LABELS[:2])
    refused("train", tmp_path, "--max-expansion", text, says=("max expansion: ", "or both: 1000,4G"))


def test_members_of_other_archives(tmp_path, hostile):
    (tmp_path / "x.npz").write_bytes(bz2.compress(b"nothing"))
    hostile(tmp_path / "x.npz", "cannot be read; it is damaged or of another kind")
