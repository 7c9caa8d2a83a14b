#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make demo`: two virtual machines with the unmodified Debian kernel talk VMTP over one virtual network.

Tells what happens as it happens and checks all of it; the exit status is 0 only if every check holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from guest import Guest, GuestFailure, indented
from machine import (
    Accelerator,
    agent_overlay,
    choose_accelerator,
    run_main,
    stock_kernel,
    workspace,
    write_initramfs,
)
from network import Hub

TOP = Path(__file__).resolve().parents[2]

SERVER, CLIENT = "north", "south"
ADDRESS = {SERVER: "10.81.0.1", CLIENT: "10.81.0.2"}
ENTITY = f"LE-81-{ADDRESS[SERVER]}"
PINGS = 5
SEGMENT = 16384
LOSS_PERCENT = 20
LOSSY_CALLS = 10
# With 20% loss each way an attempt fails in 36% of cases. Five retries would fail one transaction in 500; with 30
# none will in the life of a machine.
RETRIES = 30
# Real data: the beginning of the module itself.
DATA = (TOP / "build/out/vmtp.ko").read_bytes()[:SEGMENT]
DIGEST = hashlib.sha256(DATA).hexdigest()

COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Story:
    """What a person reads, and the checks."""

    def __init__(self) -> None:
        self.failures = 0
        self._begin = time.monotonic()

    def chapter(self, title: str) -> None:
        print(f"\n{paint('1', title)}", flush=True)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def check(self, holds: bool, text: str, why: str = "") -> bool:
        if not holds:
            self.failures += 1
        print(f"  {paint('32', '✓') if holds else paint('31', '✗')} {text}", flush=True)
        if not holds and why:
            print(indented(why), flush=True)
        return holds

    def end(self) -> int:
        seconds = time.monotonic() - self._begin
        if self.failures:
            print(f"\n{paint('31;1', f'{self.failures} checks do not hold')} ({seconds:.0f} s)")
            return 1
        print(f"\n{paint('32;1', 'Everything is as it should be.')} ({seconds:.0f} s)")
        return 0


class Host:
    """A guest on the network, and what its VMTP has counted since the last look."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.name = guest.name.capitalize()
        self._counted: dict[str, int] = {}

    def up(self) -> None:
        self.guest.wait_until_up()
        address = ADDRESS[self.guest.name]
        self.guest.expect("modprobe virtio_net")
        self.guest.expect("for i in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done")
        self.guest.expect(f"ip addr add {address}/24 dev eth0 && ip link set eth0 up")

    def json(self, command: str, timeout: float = 60) -> dict[str, Any]:
        """Runs a command of ours with --json; an empty object if it has printed none."""
        for line in self.guest.run(f"{command} --json", timeout).lines:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                return value
        return {}

    def counted(self) -> dict[str, int]:
        """What has been counted since the last call, by names without the prefix Vmtp."""
        stats = self.json("vmtp show stats").get("stats", {})
        now = {name.removeprefix("Vmtp"): int(value) for name, value in stats.items()}
        delta = {name: value - self._counted.get(name, 0) for name, value in now.items()}
        self._counted = now
        return delta


def main() -> int:
    story = Story()
    kernel, accelerator = stock_kernel(), choose_accelerator()
    overlay = agent_overlay()
    overlay.data("root/data", DATA)
    hub = Hub()
    with workspace("demo") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, overlay)
        try:
            with (
                Guest(SERVER, kernel, accelerator, folder, link=hub.port(), number=1) as north,
                Guest(CLIENT, kernel, accelerator, folder, link=hub.port(), number=2) as south,
            ):
                tell(story, accelerator, Host(north), Host(south))
        except GuestFailure as failure:
            story.check(False, "both machines stay sound", str(failure))
    hub.close()
    return story.end()


def tell(story: Story, accelerator: Accelerator, server: Host, client: Host) -> None:
    hosts = (server, client)
    story.chapter("Two virtual machines, one network")
    how = "hardware virtualization" if accelerator is Accelerator.KVM else "emulation: this machine has no usable KVM"
    story.say(f"{server.name} and {client.name} start ({how}) ...")
    begin = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Host.up, hosts))
    for host in hosts:
        version = host.guest.expect("uname -r; uname -v").splitlines()
        story.say(f"{host.name} is {ADDRESS[host.guest.name]}, Linux {version[0]} as Debian ships it ({version[1]})")
    story.say(f"up after {time.monotonic() - begin:.0f} s")
    for host in hosts:
        loaded = host.guest.run("modprobe vmtp", 60)
        if not story.check(loaded.status == 0, f"vmtp.ko is loaded on {host.name}", loaded.text):
            return

    if serve(story, server):
        server.counted()
        client.counted()
        ping(story, server, client)
        call(story, client)
        calls_with_loss(story, server, client)
    leave(story, server, client)


def serve(story: Story, server: Host) -> bool:
    story.chapter(f"{server.name} serves")
    story.say(f"{server.name} # vmtp echo --entity {ENTITY}")
    server.guest.expect(f"vmtp echo --entity {ENTITY} --json >/tmp/echo 2>&1 & echo $! >/tmp/echo.pid")
    server.guest.run("for i in $(seq 100); do grep -q listening /tmp/echo && break; sleep 0.1; done", 60)
    said = server.guest.run("cat /tmp/echo", 60)
    return story.check(
        "listening" in said.text,
        f"the entity {ENTITY} exists: number 81, little endian, of the host {ADDRESS[SERVER]}",
        said.text,
    )


def ping(story: Story, server: Host, client: Host) -> None:
    story.chapter(f"{client.name} asks: {PINGS} transactions without data")
    command = f"vmtp ping -c {PINGS} -i 0.2 {ENTITY}"
    story.say(f"{client.name} # {command}")
    result = client.json(command)
    for reply in result.get("replies", []):
        story.say(f"  seq={reply['seq']} transaction={reply['transaction']} {milliseconds(reply['time_ns'])}")
    answered, corrupted = result.get("answered", 0), result.get("corrupted", 0)
    story.check(answered == PINGS, f"{answered} of {PINGS} answered", json.dumps(result, indent=2))
    story.check(corrupted == 0 and answered > 0, "each Response carries the data of its Request")
    there, here = server.counted(), client.counted()
    packets = here.get("OutPackets", 0) + here.get("InPackets", 0)
    story.say(
        f"{packets} packets for {PINGS} transactions: two each"
        + (", the rest to get to know each other" if packets > 2 * PINGS else "")
    )
    delivered = there.get("RequestsDelivered", 0)
    story.check(delivered == PINGS, f"{server.name} executed each Request once ({delivered})")


def call(story: Story, client: Host) -> None:
    story.chapter(f"{client.name} sends {SEGMENT} octets and gets them back, in one transaction")
    story.say(f"{client.name} # {call_command()}")
    client.guest.run("rm -f /tmp/back", 60)
    result = client.json(call_command())
    if check_call(story, client, result):
        here = client.counted()
        out, into = here.get("OutPackets", 0), here.get("InPackets", 0)
        story.say(f"{milliseconds(result['time_ns'])}, {out} packets out, {into} in")


def call_command(options: str = "") -> str:
    return f"vmtp call {ENTITY} --code 0x800001 --data /root/data --out /tmp/back{options}"


def check_call(story: Story, client: Host, result: dict[str, Any]) -> bool:
    back = client.guest.run("sha256sum /tmp/back", 60).text.partition(" ")[0]
    whole = result.get("code") == 0 and result.get("octets") == SEGMENT
    return story.check(
        whole and back == result.get("sha256") == DIGEST,
        f"what came back is what was sent: sha256 {DIGEST[:16]}...",
        json.dumps(result, indent=2),
    )


def calls_with_loss(story: Story, server: Host, client: Host) -> None:
    story.chapter(f"The same {LOSSY_CALLS} times, and {LOSS_PERCENT}% of all packets are lost each way")
    for host in (server, client):
        host.guest.expect(f"tc qdisc add dev eth0 root netem loss {LOSS_PERCENT}%")
        host.counted()
    story.say(f"both   # tc qdisc add dev eth0 root netem loss {LOSS_PERCENT}%")
    story.say(f"{client.name} # {call_command(f' --retries {RETRIES}')}")
    good, times = 0, list[int]()
    for number in range(1, LOSSY_CALLS + 1):
        client.guest.run("rm -f /tmp/back", 60)
        result = client.json(call_command(f" --retries {RETRIES}"), 120)
        back = client.guest.run("sha256sum /tmp/back", 60).text.partition(" ")[0]
        if result.get("code") == 0 and back == DIGEST:
            good += 1
            times.append(result["time_ns"])
            story.say(f"  {number:2}: {milliseconds(result['time_ns'])}")
        else:
            story.say(f"  {number:2}: {json.dumps(result)}")
    story.check(good == LOSSY_CALLS, f"{good} of {LOSSY_CALLS} transactions brought back the same {SEGMENT} octets")

    lost = sum(dropped(host) for host in (server, client))
    there, here = server.counted(), client.counted()

    def both(*names: str) -> int:
        return sum(counted.get(name, 0) for counted in (there, here) for name in names)

    sent, again = both("OutPackets"), both("Retransmissions")
    suppressed = both("DropDuplicate", "DropHeaderOnly", "DropOld", "DropUnwanted")
    story.say(f"{sent} packets sent, {lost} of them lost on the way ({percent(lost, sent)}%)")
    story.check(lost > 0, f"the network really lost packets: {lost}")
    story.check(again > 0, f"what was lost was sent again: {again} retransmissions")
    story.check(suppressed > 0, f"what came twice was recognised: {suppressed} packets suppressed")
    delivered = there.get("RequestsDelivered", 0)
    story.check(delivered == LOSSY_CALLS, f"and {server.name} executed each Request exactly once: {delivered}")
    for host in (server, client):
        host.guest.expect("tc qdisc del dev eth0 root")


def dropped(host: Host) -> int:
    """Packets that netem has dropped."""
    try:
        disciplines = json.loads(host.guest.expect("tc -s -j qdisc show dev eth0"))
    except ValueError:
        return 0
    return sum(int(discipline.get("drops", 0)) for discipline in disciplines)


def leave(story: Story, server: Host, client: Host) -> None:
    story.chapter("The end")
    server.guest.run("[ ! -f /tmp/echo.pid ] || kill -INT $(cat /tmp/echo.pid)", 60)
    for host in (server, client):
        removed = host.guest.run(
            "for i in $(seq 10); do rmmod vmtp 2>/tmp/rmmod && exit; sleep 0.5; done; cat /tmp/rmmod; exit 1", 60
        )
        story.check(removed.status == 0, f"vmtp.ko is removed from {host.name}", removed.text)
        try:
            host.guest.check_kernel()
        except GuestFailure as failure:
            story.check(False, f"the kernel of {host.name} has nothing to report", str(failure))
        else:
            story.check(True, f"the kernel of {host.name} has nothing to report")
    for host in (server, client):
        host.guest.power_off()


def milliseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:.1f} ms"


def percent(part: int, whole: int) -> int:
    return round(100 * part / whole) if whole else 0


if __name__ == "__main__":
    run_main(main)
