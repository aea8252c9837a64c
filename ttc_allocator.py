"""The front door: what a user of the library imports.

    from ttc_allocator import LLM    # in place of: from vllm import LLM

Importing this module loads neither torch nor vLLM: each name is imported when it is used. It raises
ImportError when Python would find another module in place of one of the library's packages.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allocator.budget import allocate
    from allocator.errors import InputError, ModelError
    from allocator.plan import Plan, parse_plan
    from predictors.branches import Branch
    from runtime.artifact import Artifact, FittedPolicy
    from runtime.dropin.async_llm import AsyncComputeOptimalLLM as AsyncLLM
    from runtime.dropin.llm import ComputeOptimalLLM as LLM
    from runtime.dropin.transformers import ComputeOptimalModel
    from runtime.models import open_models as open_models
    from runtime.request import Request
    from runtime.result import Spend
    from runtime.solving.solve import Solver
    from runtime.solving.stop_rule import StopRule
    from runtime.solving.thinking_rule import ThinkingRule

__all__ = [
    "LLM",
    "Artifact",
    "AsyncLLM",
    "Branch",
    "ComputeOptimalModel",
    "FittedPolicy",
    "InputError",
    "ModelError",
    "Plan",
    "Request",
    "Solver",
    "Spend",
    "StopRule",
    "ThinkingRule",
    "allocate",
    "open_models",
    "parse_plan",
]

# Where each name is defined, as module:attribute.
_TARGETS = {
    "LLM": "runtime.dropin.llm:ComputeOptimalLLM",
    "Artifact": "runtime.artifact:Artifact",
    "AsyncLLM": "runtime.dropin.async_llm:AsyncComputeOptimalLLM",
    "Branch": "predictors.branches:Branch",
    "ComputeOptimalModel": "runtime.dropin.transformers:ComputeOptimalModel",
    "FittedPolicy": "runtime.artifact:FittedPolicy",
    "InputError": "allocator.errors:InputError",
    "ModelError": "allocator.errors:ModelError",
    "Plan": "allocator.plan:Plan",
    "Request": "runtime.request:Request",
    "Solver": "runtime.solving.solve:Solver",
    "Spend": "runtime.result:Spend",
    "StopRule": "runtime.solving.stop_rule:StopRule",
    "ThinkingRule": "runtime.solving.thinking_rule:ThinkingRule",
    "allocate": "allocator.budget:allocate",
    "open_models": "runtime.models:open_models",
    "parse_plan": "allocator.plan:parse_plan",
}

_PACKAGES = ("allocator", "predictors", "runtime", "calibration")


def _location(package: str) -> Path | None:
    """The file or folder that Python imports `package` from; None if it finds none.

    The package itself is not imported.
    """
    try:
        spec = find_spec(package)
    except ValueError:  # a module in sys.modules without a spec, made at run time
        return None
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin)
    # A folder without __init__.py.
    return next(map(Path, spec.submodule_search_locations or ()), None)


def _is_same(found: Path, ours: Path) -> bool:
    """Whether two paths name one file, through links too."""
    return found == ours or (found.exists() and ours.exists() and found.samefile(ours))


def _overwritten_by(folder: Path, package: str) -> Path | None:
    """The record of another distribution that installed its `package` over ours, or None.

    pip lets a distribution overwrite the files of another one in the same site-packages. PyPI has
    distributions called allocator, predictors and runtime.
    """
    records = sorted(folder.glob(f"{package}-*.dist-info/RECORD"))
    if not records:
        return None
    # Imported here, because most installations have no such distribution.
    from base64 import urlsafe_b64encode
    from hashlib import sha256

    digest = sha256((folder / package / "__init__.py").read_bytes()).digest()
    line = f"{package}/__init__.py,sha256={urlsafe_b64encode(digest).decode().rstrip('=')},"
    return next((record for record in records if line in record.read_text()), None)


def _check_packages(folder: Path) -> None:
    """Check that the library's packages are those that Python finds.

    Args:
        folder: where the library's packages lie.

    Raises:
        ImportError: another module takes the place of one of them.
    """
    for package in _PACKAGES:
        ours = folder / package / "__init__.py"
        found = _location(package)
        if found is None or not _is_same(found, ours):
            where = f"finds {found}" if found is not None else "finds no such package"
            raise ImportError(
                f"ttc_allocator needs its own package {package!r}, {ours.parent}, but Python "
                f"{where}. Rename or move the other one, or start Python where it is not on "
                "sys.path; if it was installed by pip, uninstall it",
                name=package,
                path=str(found),
            )
        if (record := _overwritten_by(folder, package)) is not None:
            raise ImportError(
                f"ttc_allocator needs its own package {package!r}, {ours.parent}, but its files "
                f"were overwritten by another distribution, {record.parent}. Uninstall that one, "
                "then run pip install --force-reinstall --no-deps ttc-allocator",
                name=package,
                path=str(ours),
            )


_check_packages(Path(__file__).parent)


def __getattr__(name: str) -> Any:
    """Import an exported name when it is used."""
    if name not in _TARGETS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _TARGETS[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)


def main() -> None:
    """Run the command line, ``ttc``."""
    from calibration.cli.app import app

    app()
