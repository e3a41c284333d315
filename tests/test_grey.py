"""Pictures without colours have one channel, where all of a data set have none."""

import io

import numpy as np
import pytest
from PIL import Image

from fastlr import InputError, load, open_dataset, train

SIZES = [(16, 16), (20, 12)]  # of the files: as they are wanted, and to be resized


def grey_picture(i: int) -> Image.Image:
    values = np.random.default_rng(i).integers(0, 256, SIZES[i % 2][::-1], dtype=np.uint8)
    return Image.fromarray(values // 2 + 100 * (i % 2))


def write(folder, pictures):
    """Write pictures, every second of which is of the class "light"."""
    for i, picture in enumerate(pictures):
        file = folder / ("dark", "light")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    return folder


def test_all_grey_is_one_channel(tmp_path):
    deep = Image.fromarray(np.asarray(grey_picture(3), np.uint16) << 8)
    pictures = [*(grey_picture(i).convert(mode) for i, mode in enumerate(["L", "1", "LA"])), deep]
    write(tmp_path, pictures)
    grey, rgb = open_dataset(tmp_path, size=16), open_dataset(tmp_path, size=16, channels=3)
    assert grey.images.shape == (4, 16, 16, 1)
    assert rgb.images.shape == (4, 16, 16, 3)
    # Resized as grey or as RGB, it is the same.
    assert (grey.images == rgb.images).all()
    assert (grey.channels, rgb.channels) == (1, 3)


@pytest.mark.parametrize("coloured", [0, 3, 8])
@pytest.mark.parametrize("threads", [1, 3])
def test_one_of_colour_makes_all_rgb(tmp_path, coloured, threads):
    pictures = [grey_picture(i) for i in range(9)]
    pictures[coloured] = Image.merge("RGB", [pictures[coloured]] * 3)
    write(tmp_path, pictures)
    (tmp_path / "dark" / "0a.png").write_text("none")
    found = open_dataset(tmp_path, size=16, threads=threads, skip_bad=True)
    expected = open_dataset(tmp_path, size=16, skip_bad=True, channels=3)
    assert found.images.shape == (9, 16, 16, 3)
    assert (found.images == expected.images).all()
    assert found.skipped == expected.skipped
    assert len(found.skipped) == 1


def test_a_test_set_is_read_as_the_training_set(tmp_path, fastlr_command):
    write(tmp_path / "train", [grey_picture(i) for i in range(8)])
    write(tmp_path / "test", [grey_picture(i).convert("RGB" if i == 1 else "L") for i in range(4)])
    model, out = tmp_path / "m.safetensors", tmp_path / "both.npz"
    assert fastlr_command("train", tmp_path, "--size", "16", "--iterations", "20", "--model", model).status == 0
    assert load(model).image_shape == (16, 16, 1)
    assert fastlr_command("evaluate", model, tmp_path).status == 0
    assert fastlr_command("predict", model, tmp_path / "test" / "light" / "1.png").status == 0
    assert fastlr_command("convert", tmp_path, out, "--size", "16").status == 0
    assert [open_dataset(out, split).n_features for split in ("train", "test")] == [256, 256]


def test_a_model_of_three_channels_still_takes_grey_ones(tmp_path, fastlr_command):
    write(tmp_path, [grey_picture(i) for i in range(8)])
    rgb = open_dataset(tmp_path, size=16, channels=3)
    run = train(rgb, iterations=20)
    run.model.save(tmp_path / "old.safetensors")
    grey = open_dataset(tmp_path, size=16)
    np.testing.assert_array_equal(run.model.predict_proba(grey), run.model.predict_proba(rgb))
    assert fastlr_command("evaluate", tmp_path / "old.safetensors", tmp_path).status == 0
    # A grey test set becomes RGB; one of colours does not become grey unasked.
    assert train(rgb, test=grey, iterations=1).test_accuracy is not None
    with pytest.raises(InputError, match="open both with channels=1, or both with channels=3"):
        train(grey, test=rgb, iterations=1)


@pytest.mark.parametrize("coloured", [None, 0, 700])
def test_pictures_in_a_table_that_come_in_batches(tmp_path, coloured):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    import pyarrow

    cells = []
    for i in range(800):
        picture = grey_picture(2 * (i % 5))
        picture.convert("RGB" if i == coloured else "L").save(file := io.BytesIO(), "PNG")
        cells.append(file.getvalue())
    parquet.write_table(pyarrow.table({"image": cells, "label": [i % 2 for i in range(800)]}), tmp_path / "p.parquet")
    found = open_dataset(tmp_path / "p.parquet", size=16)
    expected = open_dataset(tmp_path / "p.parquet", size=16, channels=3)
    assert found.images.shape == (800, 16, 16, 1 if coloured is None else 3)
    assert (found.images == expected.images).all()


@pytest.mark.parametrize("channels", [0, 2, 4, "1", True])
def test_other_channels_are_refused(tmp_path, channels):
    write(tmp_path, [grey_picture(i) for i in range(2)])
    with pytest.raises(InputError, match="picture files are read as 1"):
        open_dataset(tmp_path, channels=channels)
