# SPDX-License-Identifier: GPL-2.0
"""Counts what a test program says in KTAP (Documentation/dev-tools/ktap.rst). Strict: whatever is not a plain "ok" of
a planned test at the top level is a failure, a skip and a missing test too."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

PLAN = re.compile(r"1\.\.(\d+)(?:\s|$)")
POINT = re.compile(r"(ok|not ok)\b\s*(\d*)\s*-?\s*([^#]*?)\s*(?:#\s*(.*))?$")

SKIPPED = 4


@dataclass
class Report:
    """Of one test program."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)
    _planned: int | None = None
    _seen: int = 0

    def line(self, line: str) -> None:
        plan = PLAN.match(line)
        if plan:
            self._planned = int(plan[1])
            return
        point = POINT.match(line)
        if not point:
            return
        verdict, number, description, directive = point.groups()
        self._seen += 1
        name = description or f"test {number}"
        if verdict == "not ok":
            self.failures.append(name)
        elif directive and directive.split()[0].upper() in ("SKIP", "TODO", "XFAIL"):
            self.failures.append(f"{name} ({directive})")
        else:
            self.passed += 1

    def end(self, status: int) -> None:
        """status is the program's exit status."""
        if self._planned is None:
            self.failures.append("no plan (1..N) was printed")
        elif self._seen != self._planned:
            self.failures.append(f"{self._planned} tests were planned, {self._seen} reported")
        if self._seen == 0 and self._planned == 0:
            self.failures.append("all tests were skipped" if status in (0, SKIPPED) else "no test was run")
        if status and not self.failures:
            self.failures.append(f"exit status {status}")
