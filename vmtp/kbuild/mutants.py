#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What cargo-mutants found, without the mutants that selftests/mutants.txt explains.

A line there is FILE, what is changed (as cargo-mutants says, without line numbers) and the reason, parted by tabs.

usage: mutants.py MUTANTS.OUT MUTANTS.TXT
"""

import re
import sys
from pathlib import Path

NEEDED = 90.0


def read(folder, *names):
    """The mutants of these kinds, as (file, line, what is changed)."""
    mutants = []
    for name in names:
        path = folder / name
        for line in path.read_text().splitlines() if path.exists() else ():
            place = re.match(r"src/proto/([^:]+):(\d+):\d+: (.*)", line)
            if place:
                mutants.append((place[1], int(place[2]), place[3]))
    return mutants


def main():
    folder, table = Path(sys.argv[1]), Path(sys.argv[2])
    reasons = {}
    for number, line in enumerate(table.read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            fields = line.split("\t")
            if len(fields) != 3 or not all(field.strip() for field in fields):
                sys.exit(f"{table}:{number}: FILE, CHANGE and REASON are wanted, parted by tabs")
            reasons[fields[0], fields[1]] = fields[2]
    caught = read(folder, "caught.txt", "timeout.txt", "previously_caught.txt")
    missed = read(folder, "missed.txt")
    new = sorted(m for m in missed if (m[0], m[2]) not in reasons)
    for file, line, change in new:
        print(f"  vmtp/proto/{file}:{line}: {change}")
    viable = len(caught) + len(missed)
    if not viable:
        sys.exit("no mutant was tried: give it more SECONDS")
    percent = 100 * len(caught) / viable
    print(f"{len(caught)} of {viable} viable mutants tried are caught, {percent:.1f}% ({NEEDED:.0f}% are needed)")
    print(f"{len(missed) - len(new)} survivors have their reason in selftests/mutants.txt, {len(new)} have none (above)")
    sys.exit(percent < NEEDED)


main()
