"""Test the installed package: its command, flags, dependencies, and the content of the wheel."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated

import pytest
import tyro
from packaging.requirements import Requirement
from setuptools import find_packages

import singlow
from singlow.commands import VERBS, doctor
from singlow.commands.flags import load_verb, parse, program_name, run_function, run_verb
from singlow.errors import UsageError
from tests.songs import singlow as run

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]
MASKED = """\
import sys
sys.modules["fcntl"] = sys.modules["resource"] = None
"""


def sing(
    song: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SONG")],
    gain: float = 1.0,
    sample_rate: int = 16000,
) -> None:
    """Sing a song.

    Args:
        song: Its name.
        gain: Factor.
        sample_rate: Hz.
    """
    print(song, gain, sample_rate)


class TestTheCommandLine:
    def test_help_lists_every_verb_with_one_line(self, tmp_path):
        outcome = run(["--help"], tmp_path)
        lines = outcome.out.splitlines()
        assert lines[0] == "usage: python3 -m singlow VERB ..."
        listed = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
        assert set(listed) == set(VERBS)
        assert all(text.endswith(".") for text in listed.values())
        assert run([], tmp_path).out == outcome.out

    def test_version_is_that_of_the_package(self, tmp_path):
        assert run(["--version"], tmp_path).out == f"singlow {singlow.__version__}\n"

    def test_every_verb_is_a_function_with_a_docstring(self):
        for name, home in VERBS.items():
            assert load_verb(home).__name__.removesuffix("_") == name
            assert load_verb(home).__doc__

    @pytest.mark.parametrize(
        ("program", "name"),
        [
            ("/usr/bin/singlow", "singlow"),
            ("singlow.exe", "singlow"),
            ("/x/singlow/__main__.py", "python3 -m singlow"),
            ("./train.py", "train.py"),
        ],
    )
    def test_usage_names_the_command_as_it_was_started(self, monkeypatch, capsys, program, name):
        monkeypatch.setattr(sys, "argv", [program])
        assert program_name() == name
        with pytest.raises(SystemExit):
            run_verb({"sing": sing}, "Sing.", ["sing", "--help"])
        assert capsys.readouterr().out.startswith(f"usage: {name} sing [-h] SONG")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["snig"], "Expected a verb in sing. Received: snig. Did you mean sing?"),
            (["--hlep"], "Expected a verb, --help or --version. Received: --hlep."),
            (["sing", "a", "--gian", "2"], "Received: --gian. Did you mean --gain?"),
            (["sing", "--gian=2"], "Received: --gian=2. Did you mean --gain?"),
            (["sing", "a", "--samplerate", "2"], "Did you mean --sample_rate?"),
            (["sing", "--song", "a"], "Expected a flag that --help lists. Received: --song."),
            (["sing", "a", "b"], "Expected no further argument. Received: b."),
            (["sing", "a", "--gain", "x"], "--gain"),
            (["sing"], "SONG"),
            (["sing", "a", "\x1b[2Jb"], "Received: \\x1b[2Jb."),
        ],
    )
    def test_mistakes_are_one_line_with_the_nearest_name(self, arguments, message):
        with pytest.raises(UsageError) as error:
            run_verb({"sing": sing}, "", arguments)
        assert message in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("flag", ["--sample_rate", "--sample-rate"])
    def test_flags_have_underscores_or_dashes(self, capsys, flag):
        run_function(sing, ["a", flag, "8000", "--gain=-1"])
        assert capsys.readouterr().out == "a -1.0 8000\n"

    def test_a_quoted_tilde_is_the_home_folder(self, monkeypatch):
        from singlow.commands.train import Settings

        monkeypatch.setenv("HOME", "/home/ada")
        settings = parse(Settings, ["--data_dir", "~/records", "--run", "~/runs/a", "--set", "a=~"])
        assert settings.data_dir == Path("/home/ada/records")
        assert (settings.run, settings.set) == ("/home/ada/runs/a", ("a=~",))
        calls = []

        def play(files: tuple[Path, ...], where: Path = Path("~/songs")) -> None:
            calls.append((files, where))

        run_function(play, ["--files", "~/a.wav", "~b.wav"])
        assert calls == [((Path("/home/ada/a.wav"), Path("~b.wav")), Path("/home/ada/songs"))]

    def test_a_dataclass_is_read_and_checked_alike(self):
        from singlow.commands.train import Settings

        assert parse(Settings, ["--k_glow", "3"]).k_glow == 3
        with pytest.raises(UsageError, match=r"--k_glwo\. Did you mean --k_glow"):
            parse(Settings, ["--k_glwo", "3"])

    @pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
    def test_bash_completes_verbs_after_it_reads_the_script(self, tmp_path):
        script = tmp_path / "completion.bash"
        script.write_text(run(["completion", "bash"], tmp_path).out)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        lines = f"source {script} && complete -p singlow && COMP_WORDS=(singlow enc) COMP_CWORD=1"
        lines += '\n"$(complete -p singlow | sed -E "s/.*-F ([^ ]+).*/\\1/")" singlow enc singlow'
        lines += '\necho "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "-c", lines], env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].split() == ["encode"]

    @pytest.mark.parametrize("shell", ["zsh", "tcsh"])
    def test_other_shells_have_scripts(self, tmp_path, shell):
        outcome = run(["completion", shell], tmp_path)
        assert outcome.code == 0
        assert "singlow" in outcome.out.splitlines()[0]
        assert "temperature" in outcome.out

    def test_a_shell_without_a_script_is_refused(self, tmp_path):
        outcome = run(["completion", "fish"], tmp_path)
        assert outcome.code == 2
        assert len(outcome.err.splitlines()) == 1


class TestThePackage:
    def test_has_the_command(self):
        module, name = PROJECT["scripts"]["singlow"].split(":")
        assert callable(getattr(import_module(module), name))

    def test_holds_every_file(self):
        packages = find_packages(str(ROOT), include=["singlow*"])
        folders = {path.parent.relative_to(ROOT) for path in (ROOT / "singlow").rglob("*.py")}
        assert {Path(*package.split(".")) for package in packages} == folders

    def test_declares_what_it_imports(self):
        declared = {requirement.name.lower().replace("_", "-") for requirement in REQUIREMENTS}
        extras = [Requirement(r) for rs in PROJECT["optional-dependencies"].values() for r in rs]
        declared |= {requirement.name.lower() for requirement in extras}
        homes = {"pyopenjtalk": ["pyopenjtalk-plus"], **metadata.packages_distributions()}
        missing = {}
        for path in (ROOT / "singlow").rglob("*.py"):
            for name in _roots(path) - set(sys.stdlib_module_names) - {"singlow"}:
                owners = {owner.lower().replace("_", "-") for owner in homes.get(name, [name])}
                if not owners & declared:
                    missing[name] = path.name
        assert not missing

    def test_pins_what_it_declares(self):
        lines = (ROOT / "requirements.txt").read_text().splitlines()
        pins = dict(line.split("==") for line in lines if "==" in line)
        assert set(pins) == {requirement.name for requirement in REQUIREMENTS}
        for requirement in REQUIREMENTS:
            assert requirement.specifier.contains(pins[requirement.name]), requirement

    def test_needs_no_module_of_unix_alone(self):
        program = f"{MASKED}\nfrom singlow.commands import VERBS\n"
        program += "from singlow.commands.flags import load_verb\n"
        program += "for home in VERBS.values(): load_verb(home)\n"
        program += "import singlow.files, singlow.data.prepare.worker, singlow.runs.run\n"
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        for path in (ROOT / "singlow").rglob("*.py"):
            guarded = {"fcntl", "resource"} & _roots(path, top_level=True)
            assert not guarded, f"{path}: import {guarded} where it may be missing"


def _roots(path: Path, top_level: bool = False) -> set[str]:
    """Return the top-level names of the modules that a file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    roots = set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots.add(node.module.split(".")[0])
    return roots


class TestDoctor:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        return tmp_path / "keras.json"

    def test_reads_the_declared_requirements(self, tmp_path):
        outcome = run(["doctor"], tmp_path)
        assert outcome.code == 0, outcome.out
        assert "Everything singlow needs is there." in outcome.out
        for requirement in REQUIREMENTS:
            assert f"ok   {requirement.name} " in outcome.out

    def test_reads_those_of_the_installed_package_outside_of_a_checkout(self, monkeypatch):
        monkeypatch.setattr(doctor, "_ROOT", Path("/nowhere"))
        monkeypatch.setattr(metadata, "requires", lambda _: ["numpy>=1", "jax; extra == 'jax'"])
        monkeypatch.setattr(metadata, "metadata", lambda _: {"Requires-Python": ">=3.11"})
        requirements, python, command = doctor._declared()
        assert [str(requirement) for requirement in requirements] == ["numpy>=1"]
        assert python == ">=3.11"
        assert command.startswith("pip3 install")
        monkeypatch.setenv("KERAS_BACKEND", "jax")
        assert [requirement.name for requirement in doctor._declared()[0]] == ["numpy", "jax"]

    def test_names_what_is_missing_or_old(self, tmp_path, monkeypatch):
        wanted = [Requirement("no-such-package>=1"), Requirement("numpy>=99")]
        monkeypatch.setattr(doctor, "_declared", lambda: (wanted, ">=3.11", "pip3 install it"))
        outcome = run(["doctor"], tmp_path)
        assert outcome.code == 4
        assert "BAD  no-such-package        missing\n" in outcome.out
        assert "needs >=99: pip3 install it" in outcome.out
        assert "2 of " in outcome.err

    @pytest.mark.parametrize(
        ("content", "state", "remedy"),
        [
            ('{"floatx": "float32", "backend": "tensorflow"}', "Keras's defaults", None),
            ('{"image_data_format": "channels_first"}', "image_data_format=channels_first", None),
            ('{"floatx": "float16", "backend": "jax"}', "backend=jax, floatx=float16", None),
            ('{"floatx": "float64"}', "floatx=float64", None),
            ('{"floatx": "half"}', "floatx is 'half'", "correct or remove"),
            ('{"epsilon": "small"}', "epsilon is 'small'", "correct or remove"),
            ("[]", "not a dictionary", "remove it"),
            ("{", "not JSON", None),
        ],
    )
    def test_looks_at_the_settings_of_keras(self, home, content, state, remedy):
        home.write_text(content)
        finding = doctor._keras_settings()
        assert state in finding.state
        assert str(home) in finding.state
        assert (remedy is None) == (finding.remedy is None)
        assert remedy is None or remedy in finding.remedy

    def test_expects_no_settings_of_keras(self, home):
        assert doctor._keras_settings().remedy is None


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of programs of a virtual environment in which the built wheel is installed."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    shutil.copytree(ROOT / "singlow", source / "singlow")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / "bin"
    pip = [programs / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", folder, source], check=True)
    (wheel,) = folder.glob("singlow-*.whl")
    pins = ["-c", ROOT / "requirements.txt"]
    subprocess.run([*pip, "install", *pins, wheel], check=True)
    return programs


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True], ids=["unix", "masked"])
def test_the_wheel_trains_and_samples_in_an_empty_folder(installed, tmp_path, masked):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "KERAS_BACKEND")}
    if masked:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(MASKED)
        environment["PYTHONPATH"] = str(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()

    def call(*arguments):
        done = subprocess.run(
            [installed / "singlow", *arguments],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert call("--version") == f"singlow {singlow.__version__}\n"
    assert call("--help").startswith("usage: singlow VERB")
    few = ["--epochs", "1", "--steps_per_epoch", "5"]
    call("train", "--preset", "singlow_tiny", *few)
    call("sample", "--count", "1", "--seconds", "0.5", "-o", "one.wav")
    assert (work / "one.wav").is_file()
    assert "All within their limits." in call("check", "singlow_tiny")
    assert "Everything singlow needs is there." in call("doctor")
