"""Reports for the tests, in a browser and without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runs import changed

from neuro_deploy.comparison import compare
from neuro_deploy.report import write_report
from neuro_deploy.trace import Trace

EVIL = "</script><script>console.error('evil')</script><img src=x onerror=alert(1)>"


def evil_report(sim: Trace, path: Path) -> None:
    """A report in which every text is an attempt to act."""
    p = sim.populations
    a = replace(sim, populations={f"in{EVIL}": p["input"], EVIL: p["fc1"]}, backend=EVIL, provenance={EVIL: EVIL})
    b = changed(replace(a, backend=f"b{EVIL}"), EVIL, "v", (5, 0, 1))
    options = {"stages": [(EVIL, 1.0)], "provenance": {EVIL: {EVIL: EVIL}}}
    write_report(path, title=EVIL, result=compare(a, b), a=a, b=b, **options)
