"""Picture files of every kind to uint8, in threads, in order."""

import numpy as np
import pytest
from conftest import draw_images, write_folder
from PIL import Image

from fastlr import InputError, open_dataset
from fastlr.data import decoding
from fastlr.data.decoding import decode_all
from fastlr.data.format import Pictures
from fastlr.data.picture import eight_bit, load_picture


def test_a_folder_of_class_folders(tmp_path):
    images, labels = draw_images(20)
    data = open_dataset(write_folder(tmp_path, images, labels), size=8)
    assert data.images.dtype == np.uint8
    assert data.classes == ("dark", "light")
    assert data.labels.tolist() == sorted(labels)
    assert (data.images == np.concatenate([images[labels == 0], images[labels == 1]])).all()
    assert data.resample == "bicubic"


def test_pictures_are_64_pixels_wide_unless_another_size_is_asked_for(tmp_path):
    write_folder(tmp_path, *draw_images(2))
    assert open_dataset(tmp_path).images.shape == (2, 64, 64, 3)


def test_train_and_test_folders(tmp_path):
    images, labels = draw_images(10)
    write_folder(tmp_path / "train", images[:6], labels[:6])
    write_folder(tmp_path / "test", images[6:], labels[6:])
    assert len(open_dataset(tmp_path, size=8)) == 6
    assert len(open_dataset(tmp_path, "test", size=8)) == 4
    with pytest.raises(InputError, match="holds no 'validation' split, only train, test"):
        open_dataset(tmp_path, "validation")


def test_classes_that_are_called_train_and_test(tmp_path):
    images, labels = draw_images(4)
    data = open_dataset(write_folder(tmp_path, images, labels, names=("test", "train")), size=8)
    assert data.classes == ("test", "train")


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_order_does_not_depend_on_threads(tmp_path, threads):
    images, _ = draw_images(60)
    sizes = [(200, 300) if i % 3 else (8, 8) for i in range(60)]  # the small ones are done first
    files = []
    for i, image in enumerate(images):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(image).resize(sizes[i], Image.Resampling.NEAREST).save(files[-1])
    one, _ = decode_all(files, Pictures((8, 8, 3), threads=1))
    many, _ = decode_all(files, Pictures((8, 8, 3), threads=threads))
    assert (one == many).all()
    assert (one[0] == images[0]).all()


RED = (200, 30, 10)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", RED, RED),
        ("RGBA", (*RED, 128), RED),
        ("LA", (90, 10), (90, 90, 90)),
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("P", 1, (10, 20, 30)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 0x5A10, (0x5A, 0x5A, 0x5A)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, expected):
    image = Image.new(mode, (6, 4), colour)
    if mode == "P":
        image.putpalette([0, 0, 0, 10, 20, 30])
    file = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    image.save(file)
    loaded = load_picture(file)
    assert loaded.mode == "RGB"
    assert loaded.getpixel((5, 3)) == expected


def test_grey_beyond_16_bits_is_white_or_black():
    values = np.array([[-5, 0, 0x5AFF, 65535, 65536, 70000]], np.int32)
    assert np.asarray(eight_bit(Image.fromarray(values))).tolist() == [[0, 0, 0x5A, 255, 255, 255]]


def test_a_palette_with_transparency_is_read(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "p.png", transparency=b"\x00\x80")
    assert load_picture(tmp_path / "p.png").getpixel((0, 0)) == (10, 20, 30)


def test_exif_orientation_is_honoured(tmp_path):
    image = Image.new("RGB", (8, 4))
    image.paste((255, 255, 255), (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is its right side
    image.save(tmp_path / "turned.png", exif=exif)
    upright = load_picture(tmp_path / "turned.png")
    assert upright.size == (4, 8)
    assert upright.getpixel((1, 1)) == (255, 255, 255)
    assert upright.getpixel((1, 7)) == (0, 0, 0)


def test_grey_for_a_model_of_one_channel(tmp_path):
    Image.new("RGB", (6, 4), (90, 90, 90)).save(tmp_path / "p.png")
    pixels, _ = decode_all([tmp_path / "p.png"], Pictures((2, 3, 1)))
    assert pixels.tolist() == [[[[90]] * 3] * 2]


def test_resampling_is_the_one_asked_for(tmp_path):
    images, labels = draw_images(4, side=16)
    write_folder(tmp_path, images, labels)
    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"):
        data = open_dataset(tmp_path, size=5, resample=name)
        expected = Image.fromarray(images[0]).resize((5, 5), Image.Resampling[name.upper()])
        assert (data.images[0] == np.asarray(expected)).all()


def test_skip_bad_leaves_out_and_names(tmp_path):
    images, labels = draw_images(8)
    write_folder(tmp_path, images, labels)
    (tmp_path / "dark" / "notes.txt").write_text("not a picture")
    (tmp_path / "light" / "picture_001.png").write_bytes(b"")
    (tmp_path / "light" / ".hidden").write_text("hidden files are no pictures")
    data = open_dataset(tmp_path, size=8, skip_bad=True)
    assert len(data) == 8 - 1
    assert data.labels.tolist() == [0] * 4 + [1] * 3
    assert [problem.split(":")[0].rsplit("/", 1)[1] for problem in data.skipped] == ["notes.txt", "picture_001.png"]


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(InputError, match=r"bomb\.png: refused, it is too large a picture"):
        load_picture(tmp_path / "bomb.png")


def test_a_large_but_allowed_picture_raises_no_warning(tmp_path, monkeypatch):
    Image.new("1", (3000, 3000), 1).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5_000_000)  # Pillow warns above it and refuses twice as much
    pixels, problems = decode_all([tmp_path / "large.png"], Pictures((2, 2, 3)))
    assert problems == [None]
    assert (pixels == 255).all()


def test_reading_in_two_threads_leaves_the_warning_filters(tmp_path):
    import threading
    import warnings

    images, labels = draw_images(12)
    write_folder(tmp_path, images, labels)
    before = list(warnings.filters)
    readers = [threading.Thread(target=open_dataset, args=(tmp_path,)) for _ in range(6)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert warnings.filters == before


def test_postscript_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("it ran Ghostscript"))
    Image.new("RGB", (8, 8)).save(tmp_path / "p.eps")
    with pytest.raises(InputError, match=r"p\.eps: refused, PostScript is a program; save it as PNG or JPEG"):
        load_picture(tmp_path / "p.eps")


@pytest.mark.parametrize(("side", "alone"), [(64, True), (65, False)])
def test_small_pictures_are_decoded_in_one_thread(side, alone, tmp_path, monkeypatch):
    """There threads wait for Python's lock: 10,000 pictures of 28 x 28 took 3.6 s in two threads, and 2.3 s in one."""
    monkeypatch.setattr(decoding, "usable_cpus", lambda: 3)
    asked = []
    monkeypatch.setattr(
        decoding, "in_threads", lambda work, count, threads: asked.append(threads) or [work(i) for i in range(count)]
    )
    files = [tmp_path / f"{i}.png" for i in range(12)]
    for i, file in enumerate(files):
        Image.new("L", (side, side), 20 * i).save(file)
    images, problems = decoding.decode_all(files, Pictures((2, 2, 1)))
    np.testing.assert_array_equal(images[:, 0, 0, 0], 20 * np.arange(12))
    assert asked == [1 if alone else 3]
    assert problems == [None] * 12
