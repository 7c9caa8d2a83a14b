# SPDX-License-Identifier: GPL-2.0
"""The parts of `make bench`: what is measured, with which programs of selftests/bench, and how (in words, which go
with the figures). bench.py runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from machine import Accelerator

if TYPE_CHECKING:
    from bench import Programs

Line = dict[str, Any]

SIZES = [0, 64, 1024, 4096, 16384]
COSTS = ["floor", "vmtp", "vmtp-sendmsg", "udp", "tcp", "tcp-connect", "tipc", "rxrpc", "sctp"]
LOSSES = [0.1, 1, 5]  # percent, each way
DELAYS = [1, 50]  # ms, each way
LOSS_PROTOCOLS = ["vmtp", "tcp", "rpc", "rpc-1s"]
MEMBERS = [1, 4, 16, 64]
GROWTH = [10, 1000, 100000]
CLIENTS = [1, 4, 16, 64]
WALL_PROTOCOLS = ["vmtp", "udp", "tcp"]
MESSAGES = [16384, 4 << 20]

# Two hosts: network namespaces "server" (10.81.0.1) and "client" (10.81.0.2) on a veth.
LINK = (
    "ip netns add server && ip netns add client &&"
    " ip link add veth0 netns server type veth peer name veth0 netns client &&"
    " for n in server client; do ip -n $n link set lo up && ip -n $n link set veth0 up; done &&"
    " ip -n server addr add 10.81.0.1/24 dev veth0 && ip -n client addr add 10.81.0.2/24 dev veth0"
)

# The same and more hosts, at a bridge: member2 is 10.81.0.3, member3 10.81.0.4 ...
BRIDGE = "ip netns add net && ip -n net link add bridge0 type bridge mcast_snooping 0 && ip -n net link set bridge0 up"


def host(name: str, number: int) -> str:
    """Makes the host 10.81.0.NUMBER at the bridge."""
    return (
        f"ip netns add {name} && ip -n net link add port{number} type veth peer name veth0 netns {name} &&"
        f" ip -n net link set port{number} master bridge0 up && ip -n {name} link set lo up &&"
        f" ip -n {name} addr add 10.81.0.{number}/24 dev veth0 && ip -n {name} link set veth0 up &&"
        f" ip -n {name} route add 224.0.0.0/4 dev veth0"
    )


COUNTED = (
    "QEMU's icount, one processor: the clock of the guest counts its instructions, 1 ns each, the same from run "
    "to run and whatever else the machine does"
)


@dataclass(frozen=True)
class Part:
    name: str
    how: str
    measure: Callable[[Programs], Any]
    accelerator: Accelerator | None = Accelerator.ICOUNT
    """None: whatever is fastest on this machine."""
    memory: int = 512


def offloads(programs: Programs, features: str) -> None:
    """Sets features of the link's device, at both ends."""
    for name in ("server", "client"):
        programs.guest.expect(f"ip netns exec {name} ethtool -K veth0 {features}")


# ---- icount: {PROTOCOL: {OCTETS: instructions}} ------------------------------------------------------------------


def measure_icount(programs: Programs) -> dict[str, dict[str, int]]:
    guest = programs.guest
    guest.expect(LINK)
    guest.expect("modprobe tipc && modprobe rxrpc && modprobe sctp")
    for name in ("server", "client"):
        guest.expect(f"ip netns exec {name} tipc bearer enable media eth device veth0")
    return costs(programs, COSTS, SIZES)


def costs(programs: Programs, protocols: list[str], sizes: list[int]) -> dict[str, dict[str, int]]:
    figures: dict[str, dict[str, int]] = {}
    for protocol in protocols:
        figures[protocol] = {}
        for octets in sizes:
            if line := programs(f"{protocol} {octets}"):
                figures[protocol][str(octets)] = line["instructions"]
    return figures


# ---- wire: the same, between devices that neither send nor receive more than single packets ----------------------


def measure_wire(programs: Programs) -> dict[str, dict[str, dict[str, int]]]:
    """{"gro": {PROTOCOL: {OCTETS: instructions}}, "no gro": ...}"""
    programs.guest.expect(LINK)
    offloads(programs, "tso off tx-gso-list off tx-udp-segmentation off")
    figures = {}
    for name, feature in (("gro", "gro on"), ("no gro", "gro off")):
        offloads(programs, feature)
        figures[name] = costs(programs, ["vmtp", "udp", "tcp"], [4096, 16384])
    return figures


# ---- loss: [{"proto", "loss" percent, "delay" ms, "p50" ns, "p99", "p99.9" (null: given up), "failed",
#              "goodput" octets a second}]


def lose(programs: Programs, loss: float, delay: int) -> None:
    """Sets what both ends lose and delay. Which packets those are begins anew: netem takes the seed again."""
    for seed, name in enumerate(("server", "client"), start=1):
        programs.guest.expect(
            f"tc -n {name} qdisc replace dev veth0 root netem limit 100000 delay {delay}ms loss {loss}% seed {seed}"
        )


def measure_loss(programs: Programs) -> list[Line]:
    programs.guest.expect(LINK)
    figures = []
    for delay in DELAYS:
        for loss in LOSSES:
            for protocol in LOSS_PROTOCOLS:
                what = f"({loss}% loss, {delay} ms)"
                lose(programs, loss, delay)
                line = programs(f"{protocol} latency 100 3000 256 64 64", what)
                # Bulk is one client's: a Request of 16 KiB, an empty Response, and the next.
                lose(programs, loss, delay)
                bulk = programs(f"{protocol} rate 1 20000 16384 0", what)
                if line and bulk:
                    figures.append({**line, "loss": loss, "delay": delay, "goodput": bulk["per_second"] * 16384})
    return figures


# ---- group: {PROTOCOL: {MEMBERS: instructions}} ------------------------------------------------------------------


def measure_group(programs: Programs) -> dict[str, dict[str, int]]:
    programs.guest.expect(BRIDGE)
    programs.guest.expect(host("server", 1))
    programs.guest.expect(host("client", 2))
    figures: dict[str, dict[str, int]] = {"vmtp": {}, "udp": {}}
    hosts = 1
    for members in MEMBERS:
        # No more hosts than take part: the bridge brings a multicast to all.
        while hosts < members:
            hosts += 1
            programs.guest.expect(host(f"member{hosts}", hosts + 1))
        for protocol, costs_of in figures.items():
            if line := programs(f"group-{protocol} {members} 64"):
                costs_of[str(members)] = line["instructions"]
    return figures


# ---- growth: {"entities"|"records"|"sockets": {COUNT: {"instructions", "memory" octets of one}}} -----------------


def measure_growth(programs: Programs) -> dict[str, dict[str, dict[str, float]]]:
    # Tables of any size are for the initial namespace alone.
    link = LINK.replace("ip netns add server", "ip netns attach server 1")
    programs.guest.expect(link)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for what in ("entities", "records", "sockets"):
        figures[what] = {}
        for count in GROWTH:
            if what == "sockets" and count < max(GROWTH):
                continue
            if line := programs(f"growth {what} {count}"):
                figures[what][str(count)] = {"instructions": line["instructions"], "memory": line["memory"] / count}
            # What the run before has left ends here.
            programs.guest.expect("ip netns del server; ip netns del client; sleep 1; " + link)
    return figures


# ---- wall: {"rate": [LINE], "latency": [LINE], "throughput": [LINE]} ---------------------------------------------


def measure_wall(programs: Programs) -> dict[str, list[Line]]:
    programs.guest.expect(LINK)
    figures: dict[str, list[Line]] = {"rate": [], "latency": [], "throughput": []}
    for clients in CLIENTS:
        rates = [programs(f"{protocol} rate {clients} 2000 64 64") for protocol in WALL_PROTOCOLS]
        figures["rate"] += [line for line in rates if line]
        if not all(rates):
            continue
        # The same load for all, half of what the slowest can do.
        offered = max(1, int(min(line["per_second"] for line in rates if line) / 2))
        for protocol in WALL_PROTOCOLS:
            if line := programs(f"{protocol} latency {offered} {min(100000, 3 * offered)} {clients} 64 64"):
                figures["latency"].append(line)
    for offload in (True, False):
        state = "on" if offload else "off"
        offloads(programs, f"gso {state} gro {state} tso {state}")
        for octets in MESSAGES:
            for protocol in ("vmtp", "tcp"):
                if line := programs(f"{protocol} rate 1 3000 {octets} 0", f"(segmentation offload {state})"):
                    figures["throughput"].append({**line, "offload": offload, "goodput": line["per_second"] * octets})
    return figures


PARTS = {
    part.name: part
    for part in (
        Part(
            "icount",
            "Guest instructions of a round trip, Request and Response of the same size, median of 500, two "
            f"network namespaces and a veth with its defaults (segmentation offload on, GRO off). {COUNTED}. vmtp: "
            "invoke, and reply-and-receive; floor: the same client, and a server's host that turns Requests around "
            "where they arrive (net.vmtp.reflect), so that it is IP, the link and the client; vmtp-sendmsg: send, "
            "recv, recvmsg, sendmsg; tcp: a connection that is there, NODELAY; tcp-connect: one for each round trip; "
            "tipc: SOCK_RDM, which between namespaces of one kernel skips the wire; rxrpc: without security. tcp, "
            "sctp and tipc have no messages without data.",
            measure_icount,
        ),
        Part(
            "wire",
            "As icount, but the devices send and receive single packets of 1,500 octets, as hardware without "
            "segmentation does; with GRO they are joined on arrival.",
            measure_wire,
        ),
        Part(
            "loss",
            "Open loop: 3,000 round trips of 64 octets each way, due at times of a Poisson process of 100 a "
            "second, by 256 clients with a socket (TCP: a connection) each; latency counts from when one is due. "
            "Goodput: one client, Requests of 16 KiB one after another for 20 s. netem loses and delays as said, "
            f"each way, for each program from the same seeds. Time is the guest's, by {COUNTED}. rpc: libtirpc's "
            "clnt_dg, which sends again after 15 s; rpc-1s: after 1 s (CLSET_RETRY_TIMEOUT); both give up after 25 s.",
            measure_loss,
            memory=1024,
        ),
        Part(
            "group",
            "Guest instructions until all members, each on a host (namespace) of its own at one bridge, have "
            "answered 64 octets with 64, median of 200. vmtp: one Request to a group; udp: as many datagrams, all "
            f"sent before the first answer is taken. {COUNTED}.",
            measure_group,
            memory=1024,
        ),
        Part(
            "growth",
            "Guest instructions of a transaction of 64 octets each way, median of 500, when the server's host has "
            "so many entities (sockets), or records of so many Clients; memory: what the kernel's slab has grown "
            f"by, for each. sockets: UDP's, for comparison. {COUNTED}.",
            measure_growth,
            memory=2048,
        ),
        Part(
            "wall",
            "Two processors, real time: under TCG (no KVM) only the ratios mean something. rate: closed loop, 64 "
            "octets each way, 2 s. latency: open loop, a Poisson process of half of what the slowest protocol can "
            "do, 3 s, as many clients as said; latency counts from when a round trip is due. throughput: one "
            "client, Requests of that size, empty Responses, 3 s. TCP's server has a process for each connection, "
            "the others have one for all clients.",
            measure_wall,
            accelerator=None,
        ),
    )
}
