"""JUnit XML, the form in which CI systems read results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from ..comparison import Comparison, Verdict
from ..files import atomic_write

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has not."""


class Case(NamedTuple):
    """A test case.  failure, skipped: why; None: it did not."""

    name: str
    text: str = ""
    failure: str | None = None
    skipped: str | None = None


def write_junit(path: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write a test suite as JUnit XML, atomically.  Raises: FileError."""
    failed, skipped = (sum(getattr(case, kind) is not None for case in cases) for kind in ("failure", "skipped"))
    counts = {"tests": len(cases), "failures": failed, "errors": 0, "skipped": skipped}
    root = ElementTree.Element("testsuites")
    parent = ElementTree.SubElement(root, "testsuite", {"name": _text(suite), **{k: str(n) for k, n in counts.items()}})
    for case in cases:
        element = ElementTree.SubElement(parent, "testcase", {"classname": _text(suite), "name": _text(case.name)})
        for kind in ("failure", "skipped"):
            if (why := getattr(case, kind)) is not None:
                ElementTree.SubElement(element, kind, {"message": _text(why)})
        if case.text:
            ElementTree.SubElement(element, "system-out").text = _text(case.text)
    ElementTree.indent(root)
    with atomic_write(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _text(text: str) -> str:
    return NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def cases_of(result: Comparison) -> list[Case]:
    """One for each variable of each population of two runs that were compared exactly, and what was not recorded.

    Of statistics one that was skipped: a float and an integer run are never equal.
    """
    cases = []
    if result.kind == "statistics":
        return [Case("statistics", result.summary(), skipped="a float against an integer run proves nothing")]
    for item in result.exact:
        text = f"{item.differing:,} of {item.values:,} values differ ({result.a}, {result.b}; {item.span})"
        first = result.first
        here = first is not None and (first.population, first.variable) == (item.population, item.variable)
        why = text + (f"; first of all {first}" if here else "")
        cases.append(Case(f"{item.population}.{item.variable}", text, failure=why if item.differing else None))
    for left in result.not_compared:
        name = f"{left.population}.{left.variable}"
        cases.append(Case(name, failure=left.reason) if left.needed else Case(name, skipped=left.reason))
    return cases


def cases_of_verdict(verdict: Verdict) -> list[Case]:
    """The verdict, and what it is made of."""
    parts = [] if verdict.exact is None else cases_of(verdict.exact)
    text = "\n".join([verdict.sentence, *verdict.remarks])
    if verdict.exact is None:
        return [Case("verdict", text, skipped=verdict.sentence)]
    return [Case("verdict", text, failure=None if verdict.passed else verdict.sentence), *parts]
