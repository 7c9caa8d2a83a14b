#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""The scapy layer, against octets written down by hand and against what the kernel module sent.

usage: test.py [COUNT_FILE]   COUNT_FILE gets `PASSED FAILED`
"""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

from scapy.compat import raw
from scapy.layers.inet import IP
from scapy.utils import rdpcap

from vmtp_scapy import VMTP, entity, entity_text

CAPTURE = Path(__file__).resolve().parents[1] / "wireshark/captures/calls.pcap"

# Client LE-70000-10.9.0.1; domain 1, Length 2; APG, RetransmitCount 2, priority 3; transaction 7; block 0; Server
# LE-70001-10.9.0.2; SDA, code 800001; user data; MsgDelivery 0; SegmentSize 5; hello and padding.
HELLO = bytes.fromhex(
    "20011170 0A090001 00010002 40200030 00000007 00000001 20011171 0A090002 10800001 00000000 00000000"
    "00000000 00000000 00000000 00000000 00000005 68656C6C 6F000000"
)


class Layer(unittest.TestCase):
    def test_identifiers(self) -> None:
        for text, bits in {
            "LE-25593-36.8.0.49": 0x200063F924080031,
            "BE-1-224.0.1.0": 0x00000001E0000100,
            "RG-1-224.0.1.0": 0x40000001E0000100,
            "UG-565338-36.8.0.77": 0x6008A05A2408004D,
            "LEA-1-10.0.0.1": 0xA00000010A000001,
        }.items():
            self.assertEqual(entity(text), bits)
            self.assertEqual(entity_text(bits), text)

    def test_a_packet_is_built_as_the_rfc_has_it(self) -> None:
        packet = VMTP(
            client=entity("LE-70000-10.9.0.1"), server=entity("LE-70001-10.9.0.2"), apg=1, retransmit_count=2,
            priority=3, transaction=7, code=0x800001, segment=b"hello",
        )  # fmt: skip
        self.assertEqual(raw(packet)[:-4], HELLO)
        # By hand: words 0-15 and 32-35 of 16 bits are the odd clusters, 16-31 the even one.
        first = sum(int.from_bytes(HELLO[at : at + 2], "big") for at in (*range(0, 32, 2), *range(64, 72, 2)))
        second = sum(int.from_bytes(HELLO[at : at + 2], "big") for at in range(32, 64, 2))
        sums = [(value & 0xFFFF) + (value >> 16) for value in (first, second)]
        self.assertEqual(raw(packet)[-4:], b"".join(value.to_bytes(2, "big") for value in sums))
        again = VMTP(raw(packet))
        self.assertEqual((again.length, again.segment, again.sda, again.segment_size), (2, b"hello\0\0\0", 1, 5))

    def test_what_is_set_is_sent_as_it_is(self) -> None:
        octets = raw(VMTP(length=9, delivery=5, sda=0, segment_size=77, checksum=0, segment=b"x" * 8))
        self.assertEqual(octets[8:12], b"\0\x01\0\x09")
        self.assertEqual(octets[20:24], b"\0\0\0\x05")
        self.assertEqual(octets[32], 0)
        self.assertEqual(octets[60:64], b"\0\0\0M")
        self.assertEqual(octets[-4:], bytes(4))

    def test_what_the_module_sent_is_read_and_built_again(self) -> None:
        packets = [packet[IP] for packet in rdpcap(str(CAPTURE))]
        self.assertGreater(len(packets), 10)
        for packet in packets:
            sent = raw(packet.payload)
            self.assertIsInstance(packet.payload, VMTP)
            rebuilt = packet[VMTP].copy()
            del rebuilt.length
            del rebuilt.checksum
            self.assertEqual(raw(rebuilt), sent)

    def test_responses_answer_their_requests(self) -> None:
        packets = [packet[VMTP] for packet in rdpcap(str(CAPTURE))]
        requests = [packet for packet in packets if packet.function == 0]
        responses = [packet for packet in packets if packet.function == 1]
        self.assertGreaterEqual(len(responses), 4)
        for response in responses:
            self.assertTrue(any(response.answers(request) for request in requests))
            self.assertFalse(any(request.answers(response) for request in requests))
        self.assertFalse(responses[0].answers(VMTP(client=responses[0].client, transaction=1)))


if __name__ == "__main__":
    result = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    bad = len(result.failures) + len(result.errors)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(f"{result.testsRun - bad} {bad}\n")
    sys.exit(1 if bad or not result.testsRun else 0)
