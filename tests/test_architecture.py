"""What the files may know of each other, and what none of them may use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "singlow").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
LOWER = ("singlow.bijections", "singlow.networks")
UPPER = (
    "singlow.models",
    "singlow.data",
    "singlow.training",
    "singlow.latents",
    "singlow.evaluation",
    "singlow.voices",
    "singlow.commands",
)
BANNED = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
HEAVY = {"keras", "tensorflow", "jax", "librosa", "matplotlib", "sklearn", "scipy"}
LIGHT = (
    "singlow",
    "singlow.errors",
    "singlow.models",
    "singlow.models.presets",
    "singlow.audio",
    "singlow.data.store.records",
    "singlow.data.sources.layouts",
    "singlow.data.sources.tables",
)


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_arrows_point_one_way(path: Path):
    imports = _imports(path)
    assert not any(name.split(".")[0] == "common_definitions" for name in imports)
    assert not any(name.split(".")[0] in {"train", "data_loader"} for name in imports)
    if _name(path).startswith(LOWER):
        assert not any(name.startswith(UPPER) for name in imports)
    elif _name(path).startswith(("singlow.models", "singlow.data", "singlow.audio")):
        assert not any(
            name.startswith(("singlow.training", "singlow.commands")) for name in imports
        )


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=_name)
def test_nothing_opens_what_could_run_code(path: Path):
    assert not {name.split(".")[0] for name in _imports(path)} & BANNED
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {
                "eval",
                "exec",
                "keras.saving.load_model",
                "keras.models.load_model",
            }
            assert not called.endswith("layers.Lambda")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert ast.unparse(keyword.value) == "False"


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=_name)
def test_files_are_named_for_what_they_hold(path: Path):
    assert not set(path.stem.split("_")) & {"utils", "util", "helpers", "helper", "common"} or (
        path.name == "common_definitions.py"
    )


def test_importing_the_package_loads_no_framework():
    program = (
        f"import sys\nfor name in {LIGHT!r}: __import__(name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import singlow

    for name in singlow.__all__:
        assert getattr(singlow, name) is not None
    with pytest.raises(AttributeError, match="nope"):
        _ = singlow.nope
