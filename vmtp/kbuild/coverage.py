#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which branches of vmtp/proto/client and vmtp/proto/server were taken, from what `llvm-cov export` tells.

A branch is one way out of a condition: each condition counts as two. Conditions in selftests/coverage.txt, which
nothing can make come out otherwise, do not count; an entry that is not needed is an error.

usage: coverage.py COVERAGE.json TOP
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

NEEDED = 95.0
PARTS = ("client", "server")


def excused(top):
    """The conditions that need not come out one way: (file, text of its line, way) -> reason."""
    reasons = {}
    path = top / "selftests/coverage.txt"
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split("\t") if field.strip()]
        if len(fields) != 4 or fields[1] not in ("true", "false"):
            sys.exit(f"{path}:{number}: FILE, true or false, TEXT and REASON are wanted, parted by tabs")
        reasons[fields[0], fields[1], fields[2]] = fields[3]
    return reasons


def main():
    exported, top = json.load(open(sys.argv[1])), Path(sys.argv[2])
    reasons, used = excused(top), set()
    totals = defaultdict(lambda: [0, 0])
    missing, regions = [], [0, 0]
    for file in exported["data"][0]["files"]:
        name = file["filename"].partition("/vmtp/proto/")[2]
        part = name.partition("/")[0]
        if part not in PARTS:
            continue
        lines = (top / "vmtp/proto" / name).read_text().splitlines()
        taken = defaultdict(lambda: [0, 0])
        for branch in file["branches"]:
            place = tuple(branch[:4])
            taken[place][0] += branch[4]
            taken[place][1] += branch[5]
        for (line, column, end_line, end), counts in sorted(taken.items()):
            text = lines[line - 1][column - 1 : end - 1 if end_line == line else None].strip()
            for way, count in zip(("true", "false"), counts):
                key = (name, way, text)
                if not count and key in reasons:
                    used.add(key)
                    continue
                totals[part][0] += 1
                totals[part][1] += count > 0
                if not count:
                    missing.append(f"  vmtp/proto/{name}:{line}: never {way}: {text}")
        regions[0] += file["summary"]["regions"]["count"]
        regions[1] += file["summary"]["regions"]["covered"]
    if missing:
        print("not taken:")
        print("\n".join(missing))
    failed = False
    for part in PARTS:
        count, covered = totals[part]
        percent = 100 * covered / max(count, 1)
        failed |= percent < NEEDED
        print(f"{part}: {covered} of {count} branches, {percent:.1f}% ({NEEDED:.0f}% are needed)")
    print(f"both: {100 * regions[1] / max(regions[0], 1):.1f}% of all regions, arms of match among them")
    print(f"{len(used)} branches that nothing can take are listed in selftests/coverage.txt")
    for key in sorted(set(reasons) - used):
        failed = True
        print(f"selftests/coverage.txt: is taken, or is not there: {' '.join(key)}")
    sys.exit(failed)


main()
