"""All tests share fixed seeds, precisions of layers, and the folder of real recordings."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if BACKEND == "jax":
    sys.modules["tensorflow"] = None  # importing it raises: the core must not import it

import pytest  # noqa: E402

LONGEST = (
    *("test_train", "test_flow", "test_commands", "test_readme", "test_notebooks", "test_lengths"),
    *("test_compiled", "test_blow", "test_migrate", "test_log_det", "test_migration_report"),
    *("test_inversion", "test_voices", "test_train_blow", "test_resume", "test_inference"),
    *("test_repeat", "test_adapt", "test_frame_mask", "test_config", "test_gradients"),
    "test_prepare",
)
PRECISIONS = ("float32", "float64") if BACKEND == "tensorflow" else ("float32",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest modules first, so that parallel processes end at about the same time."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Fix the seeds of Keras, numpy and Python if Keras is imported."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@contextlib.contextmanager
def in_precision(name: str) -> Iterator[str]:
    """Build layers in the named precision."""
    import keras

    before = keras.config.floatx()
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    yield name
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)


@pytest.fixture(params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """Build layers in each precision in turn while the test runs."""
    with in_precision(request.param):
        yield request.param


@pytest.fixture
def finest() -> Iterator[str]:
    """Build layers in the last precision while the test runs."""
    with in_precision(PRECISIONS[-1]):
        yield PRECISIONS[-1]


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings that `SINGLOW_TEST_DATA` names."""
    folder = os.environ.get("SINGLOW_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SINGLOW_TEST_DATA names no folder of real recordings")
    return Path(folder)
