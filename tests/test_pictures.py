"""Test decoding pictures of many kinds, and arranging and writing them."""

import numpy as np
import pytest
from PIL import Image

from singlow import pictures
from singlow.errors import DataError
from singlow.pictures import decode_picture, grid, picture_bytes, squared, write_picture


def read(path, channels=3):
    return np.asarray(decode_picture(path, channels)).tolist()


def test_transparent_parts_become_white(tmp_path):
    Image.fromarray(np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)).save(
        tmp_path / "rgba.png"
    )
    assert read(tmp_path / "rgba.png") == [[[255, 255, 255], [10, 20, 30]]]
    Image.fromarray(np.array([[[90, 0], [90, 255]]], np.uint8)).save(tmp_path / "la.png")
    assert read(tmp_path / "la.png", 1) == [[255, 90]]


def test_palettes_are_converted(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 200, 100, 50] + [0] * 762)
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "palette.png")
    assert read(tmp_path / "palette.png") == [[[0, 0, 0], [200, 100, 50]]]
    picture.save(tmp_path / "clear.png", transparency=0)
    assert read(tmp_path / "clear.png") == [[[255, 255, 255], [200, 100, 50]]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_values_of_16_bits_keep_their_highest(tmp_path, suffix):
    values = np.array([[0, 0x00FF, 0x0100, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    assert read(tmp_path / f"deep.{suffix}", 1) == [[0, 0, 1, 128, 255]]
    assert read(tmp_path / f"deep.{suffix}", 3)[0][3] == [128, 128, 128]


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    red, green, blue = np.asarray(read(tmp_path / "cmyk.jpg")).mean(axis=(0, 1))
    assert red > 240
    assert max(green, blue) < 15


def test_bilevel_pictures_and_rotated_photographs_are_read(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bits.png")
    assert read(tmp_path / "bits.png", 1) == [[255, 0]]
    photograph = Image.new("RGB", (20, 10))
    exif = photograph.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees
    photograph.save(tmp_path / "turned.jpg", exif=exif)
    assert decode_picture(tmp_path / "turned.jpg", 3).size == (10, 20)


def test_values_of_32_bits_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 0.5, np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(DataError, match=r"float.tiff: Expected values of 8 or 16 bits"):
        decode_picture(tmp_path / "float.tiff", 1)
    Image.fromarray(np.full((2, 2), 200, np.int32)).save(tmp_path / "whole.tiff")
    with pytest.raises(DataError, match=r"whole.tiff: Expected values of 8 or 16 bits"):
        decode_picture(tmp_path / "whole.tiff", 1)


def test_transparent_parts_of_16_bits_become_white(tmp_path):
    values = np.array([[0, 0x8000]], np.uint16)
    Image.fromarray(values).save(tmp_path / "clear.png", transparency=0)
    assert read(tmp_path / "clear.png", 1) == [[255, 128]]


def test_damaged_pictures_are_refused(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for suffix in ("png", "jpg", "gif", "webp"):
        whole = tmp_path / f"whole.{suffix}"
        Image.fromarray(noise).save(whole)
        content = whole.read_bytes()
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(content[: len(content) // 2])
        with pytest.raises(DataError, match=rf"cut.{suffix}: Expected"):
            decode_picture(cut, 3)
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty.png: Expected a picture"):
        decode_picture(tmp_path / "empty.png", 3)


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"bomb.png: Expected at most 67108864 pixels"):
        decode_picture(path, 1)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1 << 40)
    with pytest.raises(DataError, match="pixels"):
        decode_picture(path, 1)


def test_formats_that_run_programs_are_refused(tmp_path):
    (tmp_path / "script.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    with pytest.raises(DataError, match="Received: another file"):
        decode_picture(tmp_path / "script.eps", 3)


def test_the_central_square_is_resized():
    picture = Image.new("RGB", (30, 10))
    picture.paste((255, 0, 0), (10, 0, 20, 10))
    assert squared(picture, 5).tolist() == [[[255, 0, 0]] * 5] * 5
    assert squared(Image.new("L", (8, 8)), 8).shape == (8, 8, 1)


def test_a_grid_has_rows_of_pictures():
    parts = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = grid(parts, columns=2, scale=2)
    assert sheet.shape == (14, 18, 3)
    assert sheet[2, 2, 0] == 10
    assert sheet[2, 10, 0] == 20
    assert sheet[8, 2, 0] == 30
    assert sheet[8, 10, 0] == 255


def test_pictures_are_written_without_loss(tmp_path):
    for channels in (1, 3):
        pixels = np.random.default_rng(0).integers(0, 256, (4, 5, channels)).astype(np.uint8)
        write_picture(tmp_path / "picture.png", pixels)
        np.testing.assert_array_equal(
            np.asarray(decode_picture(tmp_path / "picture.png", channels)).reshape(4, 5, channels),
            pixels,
        )
        assert picture_bytes(pixels) == (tmp_path / "picture.png").read_bytes()
