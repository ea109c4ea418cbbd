"""The import rules of the tree, read from the source: one direction, no cycles, heavy packages where they belong."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [p for top in ("algos", "envs", "framework") for p in sorted((ROOT / top).rglob("*.py"))] + [ROOT / "main.py"]
FOLDERS = ("tabular", "value", "policy_gradient", "actor_critic", "offline", "imitation")
BUILT_ON = {
    "offline": ("value", "actor_critic"),
    "imitation": ("policy_gradient", "actor_critic", "value"),
}  # whose methods they subclass
RAY_FILES = {"framework/distributed/cluster.py", "framework/distributed/session.py"}


@cache
def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path):
    return path.relative_to(ROOT).as_posix()


@cache
def imports(path, *, at_load=False):
    """Full names that a file imports; `at_load` leaves out those inside functions and TYPE_CHECKING blocks."""
    names = []

    def visit(node):
        if at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if at_load and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}: relative import"
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(parsed(path))
    return names


def within(name, *packages):
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def files_under(prefix):
    return [path for path in FILES if relative(path).startswith(prefix)]


def offenders(paths, *packages, at_load=False):
    return [
        (relative(path), name) for path in paths for name in imports(path, at_load=at_load) if within(name, *packages)
    ]


def test_algos_know_nothing_of_who_drives_them():
    assert files_under("algos/") and not offenders(files_under("algos/"), "framework", "envs", "ray", "hydra", "main")


def test_envs_know_nothing_of_the_framework_nor_of_algorithms():
    found = offenders(files_under("envs/"), "framework", "algos", "ray", "hydra")
    assert not [pair for pair in found if not within(pair[1], "algos.common")]


def test_the_framework_names_no_algorithm():
    assert not offenders(files_under("framework/"), *(f"algos.{folder}" for folder in FOLDERS))
    text = (ROOT / "algos/registry.py").read_text()
    classes = re.findall(r'^    "\w+": \("algos\.[\w.]+:(\w+)"', text, re.MULTILINE)
    assert {"DQN", "DoubleDQN", "PPO"} <= set(classes)
    for path in files_under("framework/"):
        names = {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
        assert not names & set(classes), relative(path)


def test_only_two_files_import_ray():
    assert not offenders([path for path in FILES if relative(path) not in RAY_FILES], "ray")


def test_private_parts_of_hydra_and_omegaconf_have_one_place_each():
    for place, *packages in (
        ("framework/settings/hydra_private.py", "hydra._internal", "hydra.core", "hydra.plugins"),
        ("framework/settings/yaml_file.py", "omegaconf._utils"),
    ):
        assert {path for path, _ in offenders(FILES, *packages)} == {place}


def test_algorithm_folders_do_not_import_each_other():
    """Those that learn from others' data build on the rest."""
    for folder in FOLDERS:
        others = [f"algos.{other}" for other in FOLDERS if other != folder and other not in BUILT_ON.get(folder, ())]
        assert not offenders(files_under(f"algos/{folder}/"), *others)


def test_siblings_import_each_other_only_as_a_subclass_its_parent():
    """In an algorithms' folder: config and parts of networks may be shared, an algorithm only to be subclassed."""
    for folder in FOLDERS:
        for path in files_under(f"algos/{folder}/"):
            tree = parsed(path)
            classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
            bases = {ast.unparse(base) for node in classes for base in node.bases}
            for name in imports(path):
                module, _, item = name.rpartition(".")
                source = ROOT / f"{module.replace('.', '/')}.py"
                if within(name, f"algos.{folder}") and "(Algorithm)" in source.read_text():
                    assert item in bases, f"{relative(path)} imports {name} without being a subclass"


def test_the_common_parts_lie_below_the_algorithms():
    upper = ["algos.registry", *(f"algos.{folder}" for folder in FOLDERS)]
    lower = files_under("algos/common/") + files_under("algos/networks/") + files_under("algos/base.py")
    assert not offenders(lower, *upper)
    assert not offenders(files_under("algos/common/") + files_under("algos/networks/"), "algos.base")
    assert not [pair for pair in offenders(files_under("algos/common/"), "algos.networks") if "state" not in pair[1]]


def module_file(name):
    """The file in the tree that a dotted name means, the name of an object in it included."""
    for candidate in (name, name.rpartition(".")[0]):
        path = ROOT / candidate.replace(".", "/")
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate and file.is_file():
                return file
    return None


def closure(start):
    """All files of the tree that loading `start` loads, packages' __init__ files included."""
    seen, todo = set(), [start]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        todo += [package for package in (path.parent / "__init__.py",) if package.is_file()]
        todo += [file for name in imports(path, at_load=True) if (file := module_file(name)) is not None]
    return seen


@pytest.mark.parametrize(
    "start",
    ["main.py", "framework/settings/schema.py", "framework/settings/compose.py", "algos/registry.py",
     "algos/value/config.py", "algos/policy_gradient/config.py", "algos/actor_critic/config.py",
     "algos/tabular/config.py", "algos/imitation/config.py"],
)  # fmt: skip
def test_what_starts_first_loads_neither_torch_nor_ray(start):
    assert not offenders(sorted(closure(ROOT / start)), "torch", "ray", at_load=True)


# framework/ in wings: each may import those below it, and what stands beside them at the right.
WINGS = {
    "cli": "commands and all below",
    "commands": "experiment and all below",
    "runners": "experiment and all below",
    "experiment": "distributed and all below",
    "tinyrl": "agents and all below",
    "hybrid_agent": "agents and all below",
    "ready_made": "settings and all below",
    "agents": "stepping and all below",
    "stepping": "data and all below",
    "distributed": "training and all below",  # the only one that imports ray
    "training": "reports and all below",
    "machine": "data and all below",
    "reports": "data and all below",
    "datasets": "data and all below",
    "data": "settings and all below",
    "settings": "runs",
    "runs": "nothing of framework",
}


def wing_of(name):
    """The wing that a dotted name lies in; None for the package itself and for what is not of framework."""
    parts = name.split(".")
    return parts[1] if parts[0] == "framework" and len(parts) > 1 and parts[1] in WINGS else None


def test_framework_is_made_of_these_wings():
    found = {path.relative_to(ROOT / "framework").parts[0].removesuffix(".py") for path in files_under("framework/")}
    assert found - {"__init__"} == set(WINGS)


def test_arrows_between_wings_run_down_only():
    """Imports inside functions and under TYPE_CHECKING count: they are arrows too."""
    order = list(WINGS)
    for path in files_under("framework/"):
        own = wing_of(relative(path).removesuffix(".py").replace("/", "."))
        for name in imports(path):
            other = wing_of(name)
            if own is not None and other is not None:
                assert order.index(own) <= order.index(other), f"{relative(path)} imports {name}, which is above it"


def test_no_folder_is_crowded():
    folders = {path.parent for path in files_under("framework/")}
    for folder in folders:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= 15, relative(folder)


def test_each_wing_says_what_lives_there():
    for wing in WINGS:
        file = ROOT / "framework" / wing / "__init__.py"
        if file.parent.is_dir():
            tree = parsed(file)
            words = ast.get_docstring(tree) or ""
            assert len(tree.body) == 1 and 2 <= len(words.splitlines()) <= 4, relative(file)


def test_no_cycle_among_modules():
    """Imports for types alone are counted: what two files both need stands below them."""
    graph = {path: {file for n in imports(path) if (file := module_file(n)) in FILES} for path in FILES}
    graph[ROOT / "framework/__init__.py"] = set()  # hands out its names lazily
    done = set()

    def walk(path, trail):
        assert path not in trail, " -> ".join(relative(p) for p in [*trail[trail.index(path) :], path])
        if path not in done:
            for other in graph[path] - {path}:
                walk(other, [*trail, path])
            done.add(path)

    for path in FILES:
        walk(path, [])


TEXT_CALLS = {"open": 1, "read_text": 0, "write_text": 1}  # -> where the mode or the encoding would stand by position


def names_encoding(call: ast.Call, name: str) -> bool:
    """Whether a call that opens a file reads or writes bytes, or names the encoding of its text."""
    if any(keyword.arg in ("encoding", None) for keyword in call.keywords):
        return True
    modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    modes += [key.value.value for key in call.keywords if key.arg == "mode" and isinstance(key.value, ast.Constant)]
    if name == "open":
        return any("b" in mode and len(mode) <= 3 for mode in modes)
    return len(call.args) > TEXT_CALLS[name]


def test_every_text_is_opened_with_its_encoding():
    """Without it the locale decides, and a file written under one cannot be read under another."""
    found = []
    for path in [file for folder in ("framework", "algos", "envs") for file in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = node.func.value if isinstance(node.func, ast.Attribute) else None
            of_files = owner is None or name != "open" or "path" in ast.unparse(owner).lower()
            if name in TEXT_CALLS and of_files and not names_encoding(node, name):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
