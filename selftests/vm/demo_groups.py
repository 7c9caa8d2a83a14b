#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""`make demo-groups`: a replicated key-value store as a VMTP group, on three virtual machines with the unmodified Debian
kernel. One replica is killed and started again, one moves to another machine; a client writes to all and reads from any
all the time, checks every answer, and sees no error.

Tells what happens as it happens and checks all of it; the exit status is 0 only if every check holds.
"""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from demo import Host, Story, paint
from guest import Guest, GuestFailure
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

NAMES = ("anna", "bert", "carl")
ADDRESS = {name: f"10.81.0.{number}" for number, name in enumerate(NAMES, 1)}
GROUP = "UG-810000-10.81.0.1"
ENTITY = {name: f"LE-{70001 + number}-{ADDRESS[name]}" for number, name in enumerate(NAMES)}
RECEIVER = f"LE-80000-{ADDRESS['carl']}"
# The client starts before anything happens and ends after it all, whatever the machine's speed.
SECONDS = 45


class Machine(Host):
    """A guest with replicas."""

    def connect(self) -> None:
        self.guest.wait_until_up()
        address = ADDRESS[self.guest.name]
        self.guest.expect("modprobe virtio_net")
        self.guest.expect("for i in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done")
        self.guest.expect(f"ip addr add {address}/24 dev eth0 && ip link set lo up && ip link set eth0 up")
        self.guest.expect("ip route add default dev eth0 && modprobe vmtp", 120)

    def start(self, name: str, command: str) -> None:
        self.guest.expect(f"{command} >/tmp/{name} 2>&1 & echo $! >/tmp/{name}.pid")

    def says(self, name: str, text: str, patience: int = 120) -> str:
        self.guest.run(f"for i in $(seq {patience * 5}); do grep -q '{text}' /tmp/{name} && break; sleep 0.2; done", 400)
        return self.guest.run(f"cat /tmp/{name}", 60).text.strip()


def main() -> int:
    story = Story()
    kernel, accelerator = stock_kernel(), choose_accelerator()
    hub = Hub()
    with workspace("demo-groups") as folder:
        write_initramfs(folder / "initramfs.cpio", kernel, agent_overlay())
        try:
            with contextlib.ExitStack() as stack:
                guests = [
                    stack.enter_context(Guest(name, kernel, accelerator, folder, link=hub.port(), number=number))
                    for number, name in enumerate(NAMES, 1)
                ]
                tell(story, accelerator, [Machine(guest) for guest in guests])
        except GuestFailure as failure:
            story.check(False, "the machines stay sound", str(failure))
    hub.close()
    return story.end()


def tell(story: Story, accelerator: Accelerator, machines: list[Machine]) -> None:
    anna, bert, carl = machines
    story.chapter("Three machines, one group")
    how = "hardware virtualization" if accelerator is Accelerator.KVM else "emulation: this machine has no usable KVM"
    story.say(f"Anna, Bert and Carl start ({how}) ...")
    begin = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Machine.connect, machines))
    story.say(f"up after {time.monotonic() - begin:.0f} s; vmtp.ko is loaded on each")
    for machine in machines:
        serve(story, machine)
    members(story, carl, {machine.name: 1 for machine in machines})

    story.chapter("A client on Anna writes to all and reads from any")
    command = f"vmtp-kv --group {GROUP} drive --seconds {SECONDS}"
    story.say(f"Anna # {command} &")
    anna.start("client", command)
    time.sleep(4)

    killed(story, bert)
    moved(story, bert, carl)
    outcome(story, anna)
    members(story, anna, {"Anna": 1, "Carl": 2})
    leave(story, machines)


def serve(story: Story, machine: Machine, again: bool = False) -> None:
    entity = ENTITY[machine.guest.name]
    command = f"vmtp-kv --group {GROUP} serve --entity {entity}"
    story.say(f"{machine.name} # {command} &")
    machine.start("replica", command)
    said = machine.says("replica", "^REPLICA")
    story.check("REPLICA" in said, said or f"{machine.name} serves", said)
    if again:
        story.check("from another" in said, f"{machine.name} has taken over what another replica has", said)


def members(story: Story, machine: Machine, expected: dict[str, int]) -> None:
    answer = machine.json(f"vmtp group members {GROUP} --timeout 2000")
    names = {address: name.capitalize() for name, address in ADDRESS.items()}
    found = {names.get(host["host"], host["host"]): len(host["members"]) for host in answer.get("hosts", [])}
    told = ", ".join(f"{name} has {count}" for name, count in sorted(found.items()))
    story.check(found == expected, f"QueryGroup asks all managers: {told or 'nobody answers'}", json.dumps(answer))


def killed(story: Story, bert: Machine) -> None:
    story.chapter("Bert's replica is killed, and starts again")
    bert.guest.expect("kill -KILL $(cat /tmp/replica.pid)")
    story.say("Bert # kill -KILL $(cat /tmp/replica.pid)")
    time.sleep(4)
    serve(story, bert, again=True)


def moved(story: Story, bert: Machine, carl: Machine) -> None:
    entity = ENTITY["bert"]
    story.chapter("Bert's replica moves to Carl")
    receive = f"vmtp move receive --entity {RECEIVER} -- vmtp-kv --group {GROUP} serve --stdin"
    story.say(f"Carl # {receive} &")
    carl.start("moved", receive)
    carl.says("moved", "^MOVE ")
    send = f"vmtp move send {entity} --to {RECEIVER}"
    story.say(f"Bert # {send}")
    sent = bert.json(send, 120)
    story.check(sent.get("entity") == entity, f"{entity} has moved with {sent.get('octets')} octets of records", str(sent))
    said = carl.says("moved", "^REPLICA")
    story.check("REPLICA" in said and "from another" in said, said.splitlines()[-1] if said else "Carl serves it", said)
    probe = bert.json(f"vmtp probe {entity} --host {ADDRESS['bert']}")
    story.check(
        probe.get("code_name") == "ENTITY_MIGRATED", "asked for it, Bert answers ENTITY_MIGRATED", json.dumps(probe)
    )
    found = bert.json(f"vmtp probe {entity}")
    story.check(found.get("host") == ADDRESS["carl"], f"and it is found at {found.get('host')}", json.dumps(found))


def outcome(story: Story, anna: Machine) -> None:
    story.chapter("What the client has seen")
    story.say("it is still at work ...")
    said = anna.says("client", "writes", SECONDS * 4)
    result: dict[str, Any] = {}
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            result = json.loads(line)
    if not story.check(bool(result), "the client has come to its end", said):
        return
    for member, count in result["answers"].items():
        story.say(f"  {member}: {count} answers")
    story.say(
        f"the slowest write and read took {result['slowest_ms']} ms;"
        f" {result['repeated']} times one member had to be asked again"
    )
    story.check(result["writes"] > 20, f"{result['writes']} writes to all, {result['reads']} reads from any")
    story.check(result["errors"] == 0, paint("1", f"{result['errors']} errors"), said)
    story.check(result["stale"] == 0, f"{result['stale']} answers older than what was written", said)
    used = set(ENTITY.values()) <= set(result["answers"])
    story.check(used, "every replica has answered", json.dumps(result["answers"]))


def leave(story: Story, machines: list[Machine]) -> None:
    story.chapter("The end")
    for machine in machines:
        machine.guest.run("for pid in /tmp/*.pid; do kill -TERM $(cat $pid); done 2>/dev/null; sleep 1", 60)
        removed = machine.guest.run(
            "for i in $(seq 20); do rmmod vmtp 2>/tmp/rmmod && exit; sleep 0.5; done; cat /tmp/rmmod; ps; exit 1", 60
        )
        story.check(removed.status == 0, f"vmtp.ko is removed from {machine.name}", removed.text)
        try:
            machine.guest.check_kernel()
        except GuestFailure as failure:
            story.check(False, f"the kernel of {machine.name} has nothing to report", str(failure))
        else:
            story.check(True, f"the kernel of {machine.name} has nothing to report")
    for machine in machines:
        machine.guest.power_off()


if __name__ == "__main__":
    run_main(main)
