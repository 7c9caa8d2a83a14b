#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make profile`: where the instructions of a transaction go, by function.

One guest as for `make bench`, with a QEMU plugin (profile/plugin.c) that writes down every block of code that runs
during the last rounds of a bench program. Put beside the guest's symbols that gives each function's own instructions,
and the tree of calls with what is spent below each. Functions that the compiler has put into others count as those.
"""

from __future__ import annotations

import argparse
import bisect
import statistics
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench import PROGRAMS, Programs
from bench_parts import LINK
from guest import Guest, GuestFailure
from machine import TOP, Accelerator, agent_overlay, run_main, stock_kernel, workspace, write_initramfs

PLUGIN = Path(__file__).resolve().parent / "profile/plugin.c"
BUILT = TOP / "build/profile.so"
LAST = TOP / "build/profile"
RECORD = struct.Struct("=QII")
CALL = 1  # how a block ends; plugin.c
USER = "(program)"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default="vmtp", help="one of selftests/bench")
    parser.add_argument("octets", nargs="?", type=int, default=64)
    parser.add_argument("--least", type=int, default=80, help="instructions below which nothing is shown")
    parser.add_argument("--tree", type=int, default=30, help="how deep the tree of calls goes")
    parser.add_argument("--callers", metavar="NAME", help="only who calls functions with NAME in their names")
    parser.add_argument("--last", action="store_true", help="show what was recorded the last time")
    options = parser.parse_args()

    if not options.last:
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(BUILT), str(PLUGIN)], check=True)
        try:
            record(options.program, options.octets)
        except GuestFailure as failure:
            print(f"✗ {failure}", file=sys.stderr)
            return 1
    rounds = usual(split((LAST / "trace").read_bytes()))
    profile = Profile(Symbols((LAST / "symbols").read_text()))
    for blocks in rounds:
        profile.add(blocks)
    if options.callers:
        show_callers(profile, options.callers)
        return 0
    print(f"\n{options.program}, {options.octets} octets each way, a round trip; mean of {len(rounds)}\n")
    show_functions(profile, options.least)
    print("\nThe same as a tree: instructions in and below, calls\n")
    show_tree(profile.root, len(rounds), options.least, options.tree)
    return 0


def record(program: str, octets: int) -> None:
    """Leaves a trace and the symbols in LAST."""
    overlay = agent_overlay()
    overlay.tree("bench", PROGRAMS)
    kernel = stock_kernel()
    with workspace("profile") as folder:
        trace = folder / "trace"
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        plugin = ["-plugin", f"file={BUILT},to={trace}"]
        with Guest("profile", kernel, Accelerator.ICOUNT, folder, options=plugin) as guest:
            guest.wait_until_up()
            guest.expect("modprobe vmtp && modprobe veth")
            guest.expect(LINK)
            print(guest.expect(f"/bench/{program} {octets}", Programs.SECONDS), file=sys.stderr)
            symbols = guest.expect("grep -i ' [tw] ' /proc/kallsyms", Programs.SECONDS)
        LAST.mkdir(exist_ok=True)
        (LAST / "symbols").write_text(symbols)
        trace.replace(LAST / "trace")


class Symbols:
    """The kernel's functions by address."""

    def __init__(self, kallsyms: str) -> None:
        found: dict[int, str] = {}
        for line in kallsyms.splitlines():
            address, _, name, *module = line.split()
            found.setdefault(int(address, 16), demangled(name) + ("".join(f" {word}" for word in module)))
        self.addresses = sorted(found)
        self.names = [found[address] for address in self.addresses]

    def find(self, address: int) -> tuple[str, bool]:
        """The function there, and whether it begins there."""
        if address < 1 << 63:
            return USER, False
        at = bisect.bisect_right(self.addresses, address) - 1
        return self.names[at], self.addresses[at] == address


def demangled(name: str) -> str:
    """The end of the path of a Rust function (v0 mangling): enough to find it."""
    if not name.startswith("_R"):
        return name
    words: list[str] = []
    position = 2
    while position < len(name):
        if name[position].isdigit():
            end = position
            while end < len(name) and name[end].isdigit():
                end += 1
            length = int(name[position:end])
            end += name[end : end + 1] == "_"
            if 0 < length <= len(name) - end:
                words.append(name[end : end + length])
                position = end + length
                continue
            position = end
        position += 1
    return "::".join(words[-5:])


@dataclass
class Node:
    """A function called from the one above it."""

    own: int = 0
    times: int = 0
    below: dict[str, Node] = field(default_factory=dict)

    def total(self) -> int:
        return self.own + sum(node.total() for node in self.below.values())

    def child(self, name: str) -> Node:
        return self.below.setdefault(name, Node())


Block = tuple[int, int, int]


def split(trace: bytes) -> list[list[Block]]:
    """The rounds, each of which begins with a mark."""
    rounds: list[list[Block]] = []
    for block in RECORD.iter_unpack(trace):
        if block[0] == 0:
            rounds.append([])
        elif rounds:
            rounds[-1].append(block)
    return [blocks for blocks in rounds if blocks]


def usual(rounds: list[list[Block]]) -> list[list[Block]]:
    """Without those in which another task of the guest ran."""
    cost = [sum(instructions for _, instructions, _ in blocks) for blocks in rounds]
    middle = statistics.median(cost)
    return [blocks for blocks, total in zip(rounds, cost, strict=True) if abs(total - middle) < middle * 0.05]


class Profile:
    """What was added up, of all rounds together."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        self.rounds = 0
        self.own: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.root = Node()
        self._known: dict[int, tuple[str, bool]] = {}

    def add(self, blocks: list[Block]) -> None:
        self.rounds += 1
        stack: list[tuple[str, Node]] = [(USER, self.root.child(USER))]
        asleep: list[list[tuple[str, Node]]] = []  # the other tasks' stacks
        last = 0
        for address, instructions, end in blocks:
            if address not in self._known:
                self._known[address] = self.symbols.find(address)
            name, begins = self._known[address]
            top = stack[-1][0]
            if begins and (last == CALL or name != top):
                if last != CALL and top != USER and len(stack) > 1:
                    stack.pop()  # a jump takes the place of the call
                self.calls[name] += 1
                node = stack[-1][1].child(name)
                node.times += 1
                stack.append((name, node))
            elif name != top:
                stack = self._unwind(stack, name, asleep)
            stack[-1][1].own += instructions
            self.own[name] += instructions
            last = end

    def _unwind(
        self, stack: list[tuple[str, Node]], name: str, asleep: list[list[tuple[str, Node]]]
    ) -> list[tuple[str, Node]]:
        """Goes back to the caller called name, be it another task's."""
        names = [entry[0] for entry in stack]
        switching = any(entry.startswith("__switch_to") for entry in names[-2:])
        if name in names and not switching:
            return stack[: len(names) - names[::-1].index(name)]
        if switching:
            while stack and stack[-1][0].startswith("__switch_to"):
                stack.pop()
            for other in asleep:
                if other and other[-1][0] == name:
                    asleep.remove(other)
                    asleep.append(stack)
                    return other
            asleep.append(stack)
        return [(name, self.root.child(USER if name == USER else f"(the other task) {name}"))]


def show_functions(profile: Profile, least: int) -> None:
    rounds, own = profile.rounds, profile.own
    print(f"  {'own':>9} {'calls':>7}  function")
    for name, instructions in own.most_common():
        if instructions >= least * rounds:
            print(f"  {instructions / rounds:9,.0f} {profile.calls[name] / rounds:7.1f}  {name}")
    module = sum(count for name, count in own.items() if name.endswith("[vmtp]"))
    print(f"  {sum(own.values()) / rounds:9,.0f}          all; {module / rounds:,.0f} of them in vmtp")


def show_callers(profile: Profile, name: str) -> None:
    callers: Counter[str] = Counter()
    below: Counter[str] = Counter()

    def visit(node: Node, above: list[str]) -> None:
        for child_name, child in node.below.items():
            if name in child_name:
                way = " < ".join([child_name, *above[::-1][:3]])
                callers[way] += child.times
                below[way] += child.total()
            visit(child, [*above, child_name])

    visit(profile.root, [])
    print(f"  {'calls':>7} {'in/below':>9}  function < caller < its caller ...")
    for way, times in callers.most_common():
        print(f"  {times / profile.rounds:7.1f} {below[way] / profile.rounds:9,.0f}  {way}")


def show_tree(node: Node, rounds: int, least: int, depth: int, indent: int = 0) -> None:
    for name, child in sorted(node.below.items(), key=lambda item: -item[1].total()):
        total = child.total()
        if total < least * rounds or indent > depth:
            break
        print(f"  {total / rounds:9,.0f} {child.times / rounds:7.1f}  {'  ' * indent}{name}")
        show_tree(child, rounds, least, depth, indent + 1)


if __name__ == "__main__":
    run_main(main)
