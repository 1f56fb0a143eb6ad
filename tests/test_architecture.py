"""Imports point down only, there is no import cycle, and running a model never imports the training packages."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import img2img

LAYERS = [
    *("cli", "training", "methods", "exchange", "evaluation", "networks", "objectives", "data", "serve", "pages"),
    "runtime",
]
IN_RUNTIME = ["api", "batch", "tasks", "network", "files", "image"]
TRAINING_ONLY = {"torch", "torchvision", "accelerate", "albumentations", "cv2", "onnx", "pydantic", "safetensors"}

ROOT = Path(img2img.__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "img2img").rglob("*.py"))
    if path.parent != ROOT / "img2img" or not path.stem.startswith("__")  # these two lead to the API and the commands
}


def imports(module: str) -> Iterator[str]:
    """Every module or package that `module` imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


ALL_IMPORTS = {module: sorted(set(imports(module))) for module in MODULES}
OWN_IMPORTS = {module: [other for other in found if other in MODULES] for module, found in ALL_IMPORTS.items()}


def place(module: str) -> tuple[int, int]:
    """How far down a module is: by its package and, in runtime, by the package in that. `errors` & co come last."""
    package, inner = [*module.split(".")[1:], ""][:2]
    in_runtime = [*IN_RUNTIME, inner].index(inner) if package == "runtime" else 0
    return [*LAYERS, package].index(package), in_runtime


def test_imports_point_down() -> None:
    pairs = [(module, other) for module, found in OWN_IMPORTS.items() for other in found]
    assert [pair for pair in pairs if place(pair[1]) < place(pair[0])] == []


def test_there_is_no_import_cycle() -> None:
    TopologicalSorter(OWN_IMPORTS).prepare()  # raises CycleError, which lists the modules


def test_running_a_model_imports_nothing_that_only_training_installs() -> None:
    running = {
        module: found for module, found in ALL_IMPORTS.items() if module.split(".")[1] in ("runtime", "serve", "cli")
    }
    packages = {(module, other.split(".")[0]) for module, found in running.items() for other in found}
    assert {pair for pair in packages if pair[1] in TRAINING_ONLY} == set()
