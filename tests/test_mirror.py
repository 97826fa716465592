"""The tests mirror the package: every test file sits where its module sits, and has its name."""

from pathlib import Path

import pytest

from convexbn.imports import PACKAGE

TESTS = Path(__file__).parent
OF_NO_MODULE = {
    Path(f"test_{name}.py")
    for name in ("defaults", "house", "mirror", "pretended_cuda", "pretended_experiments")
}
FILES = [
    path
    for path in sorted(file.relative_to(TESTS) for file in TESTS.rglob("test_*.py"))
    if path.parts[0] not in ("slurm", "workflow") and path not in OF_NO_MODULE
]


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_test_file_is_named_after_a_module_or_a_package(file):
    module = PACKAGE / file.with_name(file.name.removeprefix("test_"))
    package = module.with_suffix("") / "__init__.py"
    assert module.exists() or package.exists()
