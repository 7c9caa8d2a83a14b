#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What cargo-mutants found: file by file and overall, and the survivors that selftests/mutants.txt does not explain.

A line there is FILE, what is changed (as cargo-mutants says, without line numbers) and the reason, parted by tabs.
Changes that do not compile (UNVIABLE: those of all runs) count for nothing.

usage: mutants.py MUTANTS.OUT UNVIABLE MUTANTS.TXT
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

NEEDED = 90.0


def read(*paths):
    """The mutants in these files, as (file, line, column, what is changed)."""
    mutants = set()
    for path in paths:
        for line in path.read_text().splitlines() if path.exists() else ():
            place = re.match(r"src/proto/([^:]+):(\d+):(\d+): (.*)", line)
            if place:
                mutants.add((place[1], int(place[2]), int(place[3]), place[4]))
    return mutants


def explained(table):
    """The reasons of survivors, by file and what is changed."""
    reasons = {}
    for number, line in enumerate(table.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            if len(fields) != 3 or not all(field.strip() for field in fields):
                sys.exit(f"{table}:{number}: FILE, CHANGE and REASON are wanted, parted by tabs")
            reasons[fields[0], fields[1]] = fields[2]
    return reasons


def percent(caught, viable):
    return f"{100 * caught / viable:.1f}%"


def main():
    folder, unviable, table = map(Path, sys.argv[1:])
    reasons = explained(table)
    # What an earlier run found to be unviable is among what cargo-mutants calls previously caught.
    caught = read(*(folder / f"{name}.txt" for name in ("caught", "timeout", "previously_caught"))) - read(unviable)
    missed = read(folder / "missed.txt")
    new = sorted(m for m in missed if (m[0], m[3]) not in reasons)
    asked = len(json.loads((folder / "mutants.json").read_text()))
    tried = len(read(*(folder / f"{name}.txt" for name in ("caught", "timeout", "missed", "unviable"))))
    files = defaultdict(lambda: [0, 0])
    for index, mutants in enumerate((caught, missed)):
        for mutant in mutants:
            files[mutant[0]][index] += 1
    viable = len(caught) + len(missed)
    if not viable:
        sys.exit("no mutant was tried: give it more SECONDS")
    if files:
        print(f"{'':39} {'caught':>7} {'of':>5}")
    for file, (some, others) in sorted(files.items()):
        print(f"vmtp/proto/{file:28} {some:>7} {some + others:>5} {percent(some, some + others):>7}")
    if new:
        print("survivors without a reason in selftests/mutants.txt:")
    for file, line, _, change in new:
        print(f"  vmtp/proto/{file}:{line}: {change}")
    print(f"{len(caught)} of {viable} viable mutants tried are caught, {percent(len(caught), viable)} ({NEEDED:.0f}% are needed)")
    print(f"{len(missed) - len(new)} survivors have their reason in selftests/mutants.txt, {len(new)} have none")
    if tried < asked:
        print(f"{asked - tried} are not tried yet: call it again, it goes on")
    sys.exit(100 * len(caught) < NEEDED * viable)


main()
