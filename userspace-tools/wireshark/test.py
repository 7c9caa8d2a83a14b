#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""The dissector vmtp.lua in tshark: on captures of the kernel module's packets (captures/*.pcap), and on packets that are
written here by RFC 1045, 3, with nothing of the project's own code. Runs where tshark is (vmtp/kbuild/in-root).

usage: test.py [COUNT_FILE]   COUNT_FILE gets `PASSED FAILED`
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
RAW_IP, ETHERNET_SNAP = 101, 262144
IP_HEADER, HEADER = 20, 64

CLIENT, SERVER = 0x20011170_0A090001, 0x20011171_0A090002  # LE-70000-10.9.0.1, LE-70001-10.9.0.2
SDA, DGM, RES, CRE = 0x1000_0000, 0x4000_0000, 0x0800_0000, 0x0400_0000


def ones_complement(octets: bytes) -> int:
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total or 0xFFFF


def checksum(octets: bytes) -> bytes:
    """3.3: clusters of 32 octets in turn to one and the other sum."""
    clusters = [octets[at : at + 32] for at in range(0, len(octets), 32)]
    return struct.pack(">HH", *(ones_complement(b"".join(clusters[which::2])) for which in (0, 1)))


def packet(
    *,
    client: int = CLIENT,
    server: int = SERVER,
    response: bool = False,
    transaction: int = 7,
    code: int = 0x800001,
    control: int = 0,
    version: int = 0,
    first: int = 0,
    delivery: int = 0,
    parameters: bytes = bytes(28),
    size: int | None = None,
    segment: bytes = b"",
) -> bytes:
    segment += bytes(-len(segment) % 8)
    octets = struct.pack(
        ">QIIIIQI",
        client,
        version << 29 | 1 << 16 | first | len(segment) // 4,
        control | response,
        transaction,
        delivery,
        server,
        code,
    )
    octets += parameters if size is None else parameters[:24] + struct.pack(">I", size)
    octets += segment
    return octets + checksum(octets)


def pcap(packets: list[bytes], most: int = 1 << 16) -> bytes:
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, ETHERNET_SNAP, RAW_IP)
    for number, vmtp in enumerate(packets):
        total = IP_HEADER + len(vmtp)
        header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, total, number, 0, 64, 81, 0, b"\x0a\x09\0\1", b"\x0a\x09\0\2")
        captured = (header + vmtp)[:most]
        content += struct.pack("<IIII", 1000 + number, 0, len(captured), total) + captured
    return content


def tshark(capture: bytes, *options: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        # tshark loads no Lua for root, and another user may not see the clone.
        os.chmod(folder, 0o755)
        Path(folder, "packets.pcap").write_bytes(capture)
        Path(folder, "vmtp.lua").write_bytes((HERE / "vmtp.lua").read_bytes())
        command = ["tshark", "-2", "-X", "lua_script:vmtp.lua", "-r", "packets.pcap", *options]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/nonexistent", *command]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode or "Lua" in done.stderr or "Lua Error" in done.stdout:
        raise AssertionError(f"tshark: {done.returncode}: {done.stderr[:2000]}{done.stdout[:2000]}")
    return done.stdout


def fields(packets: list[bytes] | Path, *names: str) -> list[list[str]]:
    """For each packet the values of these fields, several of one joined by commas."""
    return columns_of(packets.read_bytes() if isinstance(packets, Path) else pcap(packets), *names)


def columns_of(capture: bytes, *names: str) -> list[list[str]]:
    columns = [option for name in names for option in ("-e", name)]
    output = tshark(capture, "-T", "fields", "-E", "separator=|", *columns)
    return [line.split("|") for line in output.splitlines()]


class Packets(unittest.TestCase):
    def test_a_transaction_is_matched(self) -> None:
        rows = fields(
            [packet(), packet(response=True, code=0), packet(transaction=8)],
            "vmtp.client", "vmtp.server", "vmtp.function", "vmtp.code.name", "vmtp.response_in", "vmtp.request_in",
            "vmtp.time", "vmtp.checksum.status", "_ws.expert.message",
        )  # fmt: skip
        client, server = "LE-70000-10.9.0.1", "LE-70001-10.9.0.2"
        self.assertEqual(rows[0], [client, server, "0", "application 0x800001", "2", "", "", "good", ""])
        self.assertEqual(rows[1], [client, server, "1", "OK", "", "1", "1", "good", ""])
        self.assertEqual(rows[2][4], "", "another transaction has no Response")

    def test_a_mask_is_drawn_and_agrees_with_the_segment(self) -> None:
        segment = bytes(range(250)) * 12
        rows = fields(
            [packet(code=0x800001 | SDA, delivery=0b111111, size=3000, segment=segment)],
            "vmtp.delivery.blocks", "vmtp.segment_size", "vmtp.length", "vmtp.segment", "_ws.expert.message",
        )  # fmt: skip
        self.assertEqual(rows, [["012345" + "." * 26, "3000", "750", segment.hex(), ""]])
        # The last block alone is short: 440 octets.
        last = packet(code=0x800001 | SDA, delivery=0b100000, size=3000, segment=segment[2560:])
        self.assertEqual(fields([last], "vmtp.delivery.blocks", "_ws.expert.message"), [["." * 5 + "5" + "." * 26, ""]])

    def test_flags_and_counts_are_where_the_rfc_has_them(self) -> None:
        # APG, CMG, RetransmitCount 5, ForwardCount 3, gap 9, priority 6.
        control = 1 << 30 | 1 << 25 | 5 << 20 | 3 << 16 | 9 << 8 | 6 << 4
        names = ("apg", "cmg", "nrs", "drt", "retransmit_count", "forward_count", "gap", "priority", "domain", "cre")
        parameters = struct.pack(">Q", SERVER) + bytes(20)
        row = fields([packet(control=control, code=0x800001 | CRE, parameters=parameters)],
                     *(f"vmtp.{name}" for name in names), "vmtp.coresident", "_ws.expert.message")[0]  # fmt: skip
        self.assertEqual(row[:-1], ["True", "True", "False", "False", "5", "3", "9", "6", "1", "True", "LE-70001-10.9.0.2"])
        self.assertEqual(row[-1], "Sent again")

    def test_a_short_capture_is_no_malformed_packet(self) -> None:
        full, encrypted = packet(code=0x800001 | SDA, delivery=1, size=400, segment=bytes(400)), packet(first=0x4000)
        number, names = "0x00000007", ("vmtp.transaction", "vmtp.checksum.status", "_ws.expert.message")
        for captured, transaction in ((HEADER // 2, ""), (HEADER, number), (HEADER + 2, number), (HEADER + 100, number)):
            rows = columns_of(pcap([full, encrypted], IP_HEADER + captured), *names)
            self.assertEqual(rows[0], [transaction, "", ""], captured)
            if captured <= HEADER + 2:
                self.assertEqual(rows[1][:2], [transaction, ""], captured)
        short = columns_of(pcap([full[:60]]), *names)
        self.assertEqual(short, [["", "", "Shorter than a VMTP packet"]])

    def test_management_is_decoded(self) -> None:
        probe = packet(code=0x05000101, parameters=struct.pack(">QQI", SERVER, CLIENT, 1) + bytes(8))
        answer = packet(response=True, code=0, parameters=struct.pack(">7I", 0x1001, 0x0A090001, 77, 0x0A090001, 5, 0, 6))
        notify = packet(
            code=0x4500010F, transaction=9,
            parameters=struct.pack(">QIIIII", CLIENT, 0x40000000, 3, 0x22, 0b101, 13),
        )  # fmt: skip
        rows = fields([probe, answer, notify], "vmtp.procedure", "vmtp.parameter", "_ws.expert.message")
        self.assertEqual(rows[0][0], "ProbeEntity")
        self.assertEqual(rows[0][1], "coresident: LE-70001-10.9.0.2,entity: LE-70000-10.9.0.1,authDomain: 1")
        self.assertEqual(rows[1][0], "ProbeEntity")
        self.assertIn("transact: 0x00001001", rows[1][1])
        self.assertIn("process: 77", rows[1][1])
        self.assertIn("effective: 6", rows[1][1])
        self.assertEqual(rows[2][0], "NotifyVmtpClient")
        self.assertIn("delivery: 0x00000005 0.2", rows[2][1])
        self.assertIn("code: RETRANS_TIMEOUT", rows[2][1])
        self.assertEqual([row[2] for row in rows], ["", "", ""])

    def test_what_breaks_the_protocol_is_noted(self) -> None:
        good = packet(code=0x800001 | SDA, delivery=3, size=1024, segment=bytes(1024))
        for name, octets in {
            "Bad checksum": good[:70] + b"\xff" + good[71:],
            "Not version 0": packet(version=1),
            "Length does not match the packet": packet() + bytes(8),
            "PacketDelivery does not match the segment data": packet(
                code=0x800001 | SDA, delivery=7, size=1024, segment=bytes(1024)
            ),
            "A reserved bit is set": packet(code=0x800001 | RES),
            "Encrypted: not decoded further": packet(first=0x4000),
            "The transaction failed": packet(response=True, code=4),
            "Shorter than a VMTP packet": packet()[:67],
        }.items():
            with self.subTest(name):
                self.assertEqual(fields([octets], "_ws.expert.message"), [[name]])
        self.assertEqual(fields([good], "_ws.expert.message"), [[""]])

    def test_the_checksum_may_be_of_the_header_or_none(self) -> None:
        whole = packet(first=0x8000, code=0x800001 | SDA, delivery=3, size=1024, segment=bytes([7]) * 1024)
        header_only = whole[:-4] + checksum(whole[:64])
        rows = fields([header_only, packet()[:-4] + bytes(4)], "vmtp.checksum.status", "_ws.expert.message")
        self.assertEqual(rows, [["good", ""], ["none", ""]])

    def test_no_octets_make_it_fail(self) -> None:
        good = packet(code=0x05000110 | SDA, delivery=3, size=1024, segment=bytes(1024))
        packets = [good[:octets] for octets in range(0, 90)]
        numbers = random.Random(1045)
        for _ in range(2000):
            octets = bytearray(numbers.randbytes(numbers.choice([68, 76, 132, 1092])))
            if numbers.random() < 0.7:  # a good Length, so that what follows is looked at
                octets[8:12] = struct.pack(">I", 1 << 16 | (len(octets) - 68) // 4)
            packets.append(bytes(octets))
        rows = fields(packets, "vmtp.client")
        self.assertEqual(len(rows), len(packets))


class Captures(unittest.TestCase):
    """What the kernel module sent: two null calls, one of 3,000 octets, a probe, a call to nobody."""

    CAPTURE = HERE / "captures" / "calls.pcap"

    def test_every_packet_is_good(self) -> None:
        rows = fields(self.CAPTURE, "vmtp.checksum.status", "_ws.expert.message", "vmtp.code.name")
        self.assertGreater(len(rows), 10)
        for status, experts, name in rows:
            self.assertEqual(status, "good")
            # The only failure is that of the call to nobody; what is sent again is no fault.
            for expert in filter(None, experts.split(",")):
                self.assertIn(expert, ("The transaction failed", "Sent again"), name)

    def test_every_response_has_its_request(self) -> None:
        rows = fields(self.CAPTURE, "frame.number", "vmtp.function", "vmtp.request_in", "vmtp.client", "vmtp.transaction")
        by_number = {row[0]: row for row in rows}
        responses = [row for row in rows if row[1] == "1"]
        self.assertGreaterEqual(len(responses), 4)
        for _, _, request, client, transaction in responses:
            self.assertEqual(by_number[request][1], "0")
            self.assertEqual(by_number[request][3:], [client, transaction])

    def test_the_probe_is_a_probe(self) -> None:
        rows = fields(self.CAPTURE, "vmtp.procedure", "vmtp.function")
        self.assertIn(["ProbeEntity", "0"], rows)
        self.assertIn(["ProbeEntity", "1"], rows)

    def test_segments_come_back_whole(self) -> None:
        rows = fields(self.CAPTURE, "vmtp.segment", "vmtp.function", "vmtp.segment_size", "vmtp.delivery.blocks")
        # What was sent again is the same blocks again.
        segments: dict[str, dict[int, str]] = {"0": {}, "1": {}}
        for segment, function, size, blocks in rows:
            if segment:
                self.assertEqual(size, "3000")
                first = len(blocks) - len(blocks.lstrip("."))
                self.assertEqual(segments[function].setdefault(first, segment), segment)
        whole = {function: "".join(pieces[first] for first in sorted(pieces)) for function, pieces in segments.items()}
        self.assertEqual(len(whole["0"]), 6000)
        self.assertEqual(whole["0"], whole["1"])


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    bad = len({str(test).split(" (")[0] for test, _ in result.failures + result.errors})
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(f"{result.testsRun - bad} {bad}\n")
    sys.exit(1 if bad or not result.testsRun else 0)
