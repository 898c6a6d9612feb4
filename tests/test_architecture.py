"""Test which modules import each other, and that no module uses a forbidden one."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "singlow").rglob("*.py"))
SCRIPTS = sorted(ROOT.glob("*.py"))
LAYERS = (  # from the top; a module imports only from the layers below its own
    {"__main__"},
    {"commands"},
    {"training"},
    {"evaluation"},
    {"latents"},
    {"voices"},
    {"originals"},
    {"runs"},
    {"data"},
    {"models"},
    {"testing"},
    {"networks"},
    {"bijections"},
    {"signals", "alignment"},
    {"ops", "inputs", "spectral", "audio", "choir", "pictures"},
    {"text"},
    {"files", "names", "progress", "tables", "devices", "pickles"},
    {"backend"},
    {"errors"},
    {"streams"},
)
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
ROOMS = ("feed", "prepare", "sources", "store")  # packages of singlow.data, from the top
FLOWS = {"flow", "coder"}  # names of parameters and attributes that are a `Flow`
BANNED = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}
HEAVY = {"keras", "tensorflow", "jax", "librosa", "numba", "matplotlib", "sklearn", "scipy"}
LIGHT = (
    "singlow",
    "singlow.errors",
    "singlow.models",
    "singlow.models.presets",
    "singlow.audio",
    "singlow.text",
    "singlow.data.store.records",
    "singlow.data.sources.layouts",
    "singlow.originals.checkpoint",
    "singlow.data.sources.tables",
)


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


class _Imports(ast.NodeVisitor):
    """Collect the names that a file imports, except those under `if TYPE_CHECKING`."""

    def __init__(self) -> None:
        self.names = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert not node.level, "relative import"
        self.names |= {f"{node.module}.{alias.name}" for alias in node.names}


def _imports(path: Path) -> set[str]:
    visitor = _Imports()
    visitor.visit(_tree(path))
    return visitor.names


def _layers_above(name: str, imports: set[str]) -> set[str]:
    """Return the packages in its own layer or above that a module imports, except its own."""
    own = name.split(".")[1]
    parts = {imported.split(".")[1] for imported in imports if imported.startswith("singlow.")}
    return {part for part in parts & set(LAYER) if part != own and LAYER[part] <= LAYER[own]}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent != ROOT / "singlow"], ids=_name)
def test_arrows_point_down(path: Path):
    imports = _imports(path)
    assert not _layers_above(_name(path), imports)
    assert not {name.split(".")[0] for name in imports} & {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent == ROOT / "singlow"], ids=_name)
def test_arrows_of_single_files_point_down(path: Path):
    if path.stem == "__init__":
        assert not any(name.startswith("singlow") for name in _imports(path))
    else:
        assert not _layers_above(_name(path), _imports(path))


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_rooms_of_data_point_down(room: str):
    above = tuple(f"singlow.data.{other}" for other in ROOMS[: ROOMS.index(room)])
    for path in sorted((ROOT / "singlow" / "data" / room).rglob("*.py")):
        assert not [name for name in _imports(path) if name.startswith(above)], path


def test_every_module_has_its_layer():
    children = {path.relative_to(ROOT / "singlow").parts[0] for path in SOURCES}
    assert {child.removesuffix(".py") for child in children} - {"__init__"} == set(LAYER)


def test_an_arrow_that_points_up_is_seen():
    assert _layers_above("singlow.models.flow", {"singlow.runs.run.Run", "numpy"}) == {"runs"}
    assert _layers_above("singlow.models.flow", {"singlow.data.feed"}) == {"data"}
    assert not _layers_above("singlow.models.flow", {"singlow.ops.masks", "singlow.models.blow"})


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_signatures_name_the_class_of_a_flow(path: Path):
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            vague = [a for a in arguments if a.arg in FLOWS and _is_any(a.annotation)]
            assert not vague, f"{node.name}: annotate {vague[0].arg} with Flow, not Any"
        elif isinstance(node, ast.AnnAssign):
            assert ast.unparse(node.target) not in FLOWS or not _is_any(node.annotation)


def _is_any(annotation: ast.expr | None) -> bool:
    return annotation is None or "Any" in ast.unparse(annotation).split(" | ")


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=_name)
def test_nothing_opens_what_could_run_code(path: Path):
    assert not {name.split(".")[0] for name in _imports(path)} & BANNED
    for node in ast.walk(_tree(path)):
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
def test_files_are_named_after_their_content(path: Path):
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
        assert name in dir(singlow)
    with pytest.raises(AttributeError, match=r"sinGlow'\. Did you mean SinGlow\?"):
        _ = singlow.sinGlow
    with pytest.raises(AttributeError, match=r"no attribute 'xyz'$"):
        _ = singlow.xyz
