"""All tests share fixed seeds, precisions of layers, and the folder of real recordings."""

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
BACKEND = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if BACKEND == "jax":
    sys.modules["tensorflow"] = None  # importing it raises: the core must not import it

import pytest  # noqa: E402

from tests.shared import PLACES  # noqa: E402

# The longest modules, which start first. The cases of the conformance table start last.
LONGEST = (
    *("test_resume", "test_voices", "test_commands", "test_flow", "test_train", "test_migrate"),
    *("test_readme", "test_notebooks", "test_migration_report", "test_blow", "test_backend"),
    *("test_inference", "test_train_blow", "test_prepare", "test_callbacks", "test_install"),
    *("test_repeat", "test_default_run", "test_own_model", "test_picture_verbs"),
    *("test_glow", "test_networks"),
)
PRECISIONS = ("float32", "float64") if BACKEND == "tensorflow" else ("float32",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest groups first, so that parallel processes end at about the same time."""
    places = {name: place for place, name in enumerate(LONGEST)}

    def place(item: pytest.Item) -> int:
        return len(LONGEST) + 1 if _case(item.nodeid) else places.get(item.path.stem, len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Group the tests for parallel processes.

    A process runs all tests of a module, which share fixtures, or all tests of a case of the
    conformance table, which share its layer and what the layer compiles.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _case(nodeid) or nodeid.partition("::")[0]

    return Groups(config, log)


def _case(nodeid: str) -> str | None:
    """The name of the case of the conformance table that a test is for, if any."""
    found = re.fullmatch(r"tests/conformance/.*\[(.+)-float\d\d\]", nodeid)
    return found and found[1]


@pytest.fixture(autouse=True, scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set the folder that all processes of the session share."""
    place = tmp_path_factory.getbasetemp()
    PLACES[:] = [place.parent if "PYTEST_XDIST_WORKER" in os.environ else place]


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Fix the seeds of Keras, numpy and Python if Keras is imported."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Run functions of TensorFlow eagerly: a few steps of a tiny flow take less than one trace."""
    if BACKEND != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not apply to tf.data functions")
            yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture
def eager() -> Iterator[None]:
    """Trace nothing during a test that is not about traced functions."""
    with untraced():
        yield


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
