#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the kselftests in guests: `make test-vm`, and with --debug `make test-debug`.

Two guests take test programs from one list. A guest in which something goes wrong is thrown away and a new one takes
its place, so that every test begins in a sound kernel. At the end of each guest its kernel must have reported
nothing and vmtp must be removable; the debug kernel is also searched for leaks.

usage: run_tests.py [--debug] [--guests N] [--verbose] [TEST...]
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

from guest import BootFailure, Guest, GuestFailure, indented
from initramfs import Archive
from ktap import Report
from machine import (
    Accelerator,
    Kernel,
    agent_overlay,
    choose_accelerator,
    debug_kernel,
    run_main,
    stock_kernel,
    workspace,
    write_initramfs,
)

TOP = Path(__file__).resolve().parents[2]
INSTALLED = TOP / "build/selftests/install"
LONG = "netem"  # runs only where it is named: `make test-netem`
DEFAULT_TIMEOUT = 45  # as in tools/testing/selftests/kselftest/runner.sh
BOOT_TRIES = 3  # an interrupt in the first milliseconds of the debug kernel is a report of KASAN now and then
LEAK_AGE_SECONDS = 6  # kmemleak reports what is older than 5 s

# The guest's shell: before each test the module is there, also after a test that removed it.
LOAD = "grep -q '^vmtp ' /proc/modules || modprobe vmtp"
# A socket of a program that has just ended may take a moment to go.
UNLOAD = "for i in $(seq 10); do rmmod vmtp 2>/tmp/rmmod && exit 0; sleep 0.5; done; cat /tmp/rmmod; lsmod; ps; exit 1"


class Run:
    """The list of tests, what has come of them, and the lock for the person's terminal."""

    def __init__(self, collection: str, tests: list[str], timeout: float, verbose: bool) -> None:
        self.collection = collection
        self.tests = tests
        self.timeout = timeout
        self.verbose = verbose
        self.passed = 0
        self.failed = 0
        self.failures: list[str] = []
        self._waiting = list(reversed(tests))
        self._lock = threading.Lock()
        self._begin = time.monotonic()

    def next(self) -> str | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None

    def anything_left(self) -> bool:
        with self._lock:
            return bool(self._waiting)

    def tell(self, text: str) -> None:
        with self._lock:
            print(f"{time.monotonic() - self._begin:6.1f} s  {text}", flush=True)

    def left(self) -> list[str]:
        return list(self._waiting)

    def add(self, test: str, report: Report, output: list[str], seconds: float, problem: str = "") -> None:
        with self._lock:
            self.passed += report.passed
            self.failed += len(report.failures)
            self.failures.extend(f"{test}: {failure}" for failure in report.failures)
        verdict = f"FAILED: {len(report.failures)}" if report.failures else "ok"
        text = f"{test}: {report.passed} passed, {verdict} ({seconds:.1f} s)"
        if report.failures:
            text += "".join(f"\n          ✗ {failure}" for failure in report.failures)
            text += f"\n{indented(chr(10).join(output[-80:]))}"
        if problem:
            text += f"\n{problem}"
        self.tell(text)

    def fail(self, text: str) -> None:
        with self._lock:
            self.failed += 1
            self.failures.append(text.splitlines()[0])
        self.tell(f"✗ {text}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--debug", action="store_true", help="the debug kernel")
    parser.add_argument("--guests", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="show the output of all tests as it comes")
    parser.add_argument("--count", type=Path, help="file that gets `PASSED FAILED`")
    parser.add_argument("tests", nargs="*", help="names of tests; all if none is given")
    options = parser.parse_args()

    kernel = debug_kernel() if options.debug else stock_kernel()
    accelerator = choose_accelerator()
    # What only a guest of one kind can do.
    elsewhere = "icount" if options.debug else "faults"
    tests = select(options.tests, elsewhere)
    passed = failed = 0
    failures = list[str]()
    with workspace("debug" if options.debug else "stock") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay())
        for collection, how, guests in (
            ("vmtp", accelerator, options.guests),
            ("faults", accelerator, options.guests),
            ("icount", Accelerator.ICOUNT, 1),
            ("netem", accelerator, 1),
        ):
            if collection not in tests:
                continue
            timeout = settings_timeout(collection) * how.patience * (4 if kernel.debug else 1)
            run = Run(collection, tests[collection], timeout, options.verbose)
            run_in_guests(run, guests, kernel, how, folder)
            passed += run.passed
            failed += run.failed
            failures += run.failures
    # Once more, where one who sees only the end of a long log finds it.
    for failure in failures:
        print(f"✗ {failure}")
    print(f"kselftests on Linux {kernel.release}: {passed} passed, {failed} failed")
    if options.count:
        options.count.write_text(f"{passed} {failed}\n")
    return 1 if failed or not passed else 0


def select(names: list[str], elsewhere: str) -> dict[str, list[str]]:
    """The test programs of each collection (a folder of INSTALLED) but one."""
    chosen: dict[str, list[str]] = {}
    programs = []
    for line in (INSTALLED / "kselftest-list.txt").read_text().split():
        collection, _, program = line.partition(":")
        if collection == elsewhere or (collection == LONG and not names):
            continue
        programs.append(program)
        if not names or program in names:
            chosen.setdefault(collection, []).append(program)
    unknown = set(names) - set(programs)
    if unknown:
        sys.exit(f"error: no such test: {' '.join(sorted(unknown))} (there are: {' '.join(programs)})")
    return chosen


def settings_timeout(collection: str) -> int:
    settings = INSTALLED / collection / "settings"
    for line in settings.read_text().splitlines() if settings.exists() else []:
        name, _, value = line.partition("=")
        if name == "timeout":
            return int(value)
    return DEFAULT_TIMEOUT


def overlay() -> Archive:
    archive = agent_overlay()
    archive.tree("kselftests", INSTALLED)
    return archive


def run_in_guests(run: Run, most: int, kernel: Kernel, accelerator: Accelerator, folder: Path) -> None:
    guests = max(1, min(most, len(run.tests)))
    run.tell(f"{len(run.tests)} test programs, {guests} guests, Linux {kernel.release}, {accelerator.value}")
    workers = [
        threading.Thread(target=work, args=(run, f"guest{number}", kernel, accelerator, folder), daemon=True)
        for number in range(1, guests + 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        while worker.is_alive():  # a join without a limit would not see Ctrl-C
            worker.join(1)
    for test in run.left():
        run.fail(f"{test} was not run")


def work(run: Run, name: str, kernel: Kernel, accelerator: Accelerator, folder: Path) -> None:
    incarnation = boots = 0
    while run.anything_left():
        incarnation += 1
        try:
            with Guest(f"{name}.{incarnation}", kernel, accelerator, folder) as guest:
                guest.wait_until_up()
                run.tell(f"{guest.name} is up")
                serve(run, guest)
        except GuestLost:
            continue
        except BootFailure as failure:
            boots += 1
            if boots < BOOT_TRIES:
                run.tell(f"{failure}\n  another try")
                continue
            run.fail(str(failure))
            return
        except GuestFailure as failure:
            # Not within a test: another guest would fare no better.
            run.fail(str(failure))
            return
        except Exception as error:  # noqa: BLE001 - a bug of the harness is a failure too, never a silent end
            run.fail(f"{name}: {type(error).__name__}: {error}")
            return


def serve(run: Run, guest: Guest) -> None:
    """Runs tests in a guest until there are none, or until the guest can no longer be trusted."""
    if guest.kernel.debug:
        guest.run("echo 0 >/sys/kernel/debug/failslab/verbose; echo 0 >/sys/kernel/debug/fail_page_alloc/verbose", 60)
    forget_leaks(guest)
    guest.expect("dmesg -c >/dev/null")
    while test := run.next():
        run_test(run, guest, test)
    finish(guest)
    guest.power_off()


def run_test(run: Run, guest: Guest, test: str) -> None:
    """Raises GuestFailure, after the test has been counted as failed, if the guest is no longer sound."""
    report, output = Report(), list[str]()
    begin = time.monotonic()

    def on_line(line: str) -> None:
        output.append(line)
        report.line(line)
        if run.verbose:
            run.tell(f"{test}: {line}")

    try:
        loaded = guest.run(LOAD, 60)
        if loaded.status:
            report.failures.append("vmtp.ko does not load")
            output.extend(loaded.lines)
        report.end(guest.run(f"cd /kselftests/{run.collection} && exec ./{test}", run.timeout, on_line).status)
        guest.check_kernel()
    except GuestFailure as failure:
        report.failures.append("the guest failed, see below")
        run.add(test, report, output, time.monotonic() - begin, f"{failure}\n  a new guest takes over")
        raise GuestLost from None
    run.add(test, report, output, time.monotonic() - begin)


class GuestLost(Exception):
    """The guest is gone, and that has been reported and counted already."""


def finish(guest: Guest) -> None:
    """What must hold when all tests in a guest are over."""
    guest.expect(LOAD)
    removed = guest.run(UNLOAD, 120)
    if removed.status:
        raise GuestFailure(f"{guest.name}: after the tests, vmtp cannot be removed:\n{indented(removed.text)}")
    expect_no_leaks(guest)
    guest.check_kernel()


def forget_leaks(guest: Guest) -> None:
    """The debug kernel: what it has leaked so far, booting, counts no more."""
    if guest.kernel.debug:
        guest.expect("echo scan >/sys/kernel/debug/kmemleak && echo clear >/sys/kernel/debug/kmemleak", 300)


def expect_no_leaks(guest: Guest) -> None:
    """The debug kernel has leaked nothing since forget_leaks(). It does not look by itself, and says if it cannot."""
    if not guest.kernel.debug:
        return
    # Two scans: the first finds what the second must still find after the objects have aged.
    leaks = guest.expect(
        f"echo scan >/sys/kernel/debug/kmemleak && sleep {LEAK_AGE_SECONDS} &&"
        " echo scan >/sys/kernel/debug/kmemleak && cat /sys/kernel/debug/kmemleak",
        600,
    )
    if leaks.strip():
        raise GuestFailure(f"{guest.name}: kmemleak reports:\n{indented(leaks)}")


if __name__ == "__main__":
    run_main(main)
