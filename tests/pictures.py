"""Pictures and files of image datasets, made by tests."""

import pickle

import numpy as np
from PIL import Image


def shapes(count, size=8, channels=1, seed=0):
    """Pictures of a bright square (class 0) or bar (class 1) on noise, and their classes."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 40, (count, size, size, channels))
    y = np.arange(count) % 2
    for picture, label in zip(x, y, strict=True):
        top, left = rng.integers(0, size // 2, 2)
        height, width = (size // 2, size // 2) if label == 0 else (size, 2)
        picture[top : top + height, left : left + width] = rng.integers(150, 256)
    return x.astype(np.uint8), y


def write_folder(folder, count=24, size=8, channels=3):
    """Write pictures as png and jpg, a folder for each class."""
    for index, (picture, label) in enumerate(zip(*shapes(count, size, channels), strict=True)):
        place = folder / ("square", "bar")[label]
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        image.save(place / f"{index}.{'png' if index % 3 else 'jpg'}")


def write_mnist(home, train=40, test=10):
    """Write a file in the format of mnist.npz below Keras's folder."""
    (home / "datasets").mkdir(parents=True, exist_ok=True)
    parts = {}
    for split, count in (("train", train), ("test", test)):
        x, y = shapes(count, 28, seed=count)
        parts |= {f"x_{split}": x[..., 0], f"y_{split}": y.astype(np.uint8)}
    np.savez(home / "datasets" / "mnist.npz", **parts)


def write_cifar(home, name="cifar10", count=8, protocol=2):
    """Write batches in the format of CIFAR's Python version below Keras's folder."""
    ten = name == "cifar10"
    folder = home / "datasets" / ("cifar-10-batches-py" if ten else "cifar-100-python")
    folder.mkdir(parents=True)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"] if ten else ["train", "test"]
    for seed, batch in enumerate(names):
        x, y = shapes(count, 32, 3, seed)
        key = b"labels" if ten else b"fine_labels"
        data = {b"data": x.transpose(0, 3, 1, 2).reshape(count, -1), key: y.tolist()}
        (folder / batch).write_bytes(pickle.dumps(data, protocol=protocol))
    return folder
