# SPDX-License-Identifier: GPL-2.0 OR MIT
"""A scapy layer for VMTP (RFC 1045) over IP, protocol 81.

    >>> from vmtp_scapy import VMTP, entity
    >>> request = IP(dst="10.0.0.2") / VMTP(client=entity("LE-70000-10.0.0.1"), server=entity("LE-70000-10.0.0.2"),
    ...                                     transaction=1, code=0x800001, segment=b"hello")
    >>> answer = sr1(request, timeout=2)

What is None is filled in when the packet is built: Length, PacketDelivery (all blocks of the segment), SDA, SegmentSize,
padding and checksum. Set a field to send something else; `raw()` then has exactly that. A Response answers its Request.
"""

from __future__ import annotations

import struct

from scapy.fields import BitEnumField, BitField, ByteField, IntField, StrFixedLenField, StrLenField, XBitField, XIntField, XLongField
from scapy.layers.inet import IP
from scapy.packet import Packet, bind_layers

PROTOCOL = 81
HEADER, CHECKSUM, BLOCK = 64, 4, 512
KINDS = ("BE", "LE", "RG", "UG")


def entity(text: str) -> int:
    """The 64 bits of an identifier in the form of IV.1, as LE-25593-36.8.0.49."""
    kind, discriminator, address = text.split("-")
    reserved, alias = kind.startswith("X"), kind.endswith("A")
    flags = 8 * alias | KINDS.index(kind.removeprefix("X").removesuffix("A")) << 1 | reserved
    number = int.from_bytes(bytes(map(int, address.split("."))), "big")
    return flags << 60 | int(discriminator) << 32 | number


def entity_text(bits: int) -> str:
    """The form of IV.1."""
    address = ".".join(map(str, struct.pack(">I", bits & 0xFFFFFFFF)))
    kind = ("X" if bits >> 60 & 1 else "") + KINDS[bits >> 61 & 3] + ("A" if bits >> 63 else "")
    return f"{kind}-{bits >> 32 & 0x0FFFFFFF}-{address}"


class EntityField(XLongField):
    """An entity identifier: 64 bits, shown as text."""

    def i2repr(self, pkt: Packet, x: int | None) -> str:
        return entity_text(x or 0)


def checksum(octets: bytes) -> int:
    """3.3: two ones-complement sums, over the odd and the even clusters of 32 octets."""
    sums = [0, 0]
    for at in range(0, len(octets) - 1, 2):
        sums[at // 32 % 2] += octets[at] << 8 | octets[at + 1]
    for which in (0, 1):
        while sums[which] >> 16:
            sums[which] = (sums[which] & 0xFFFF) + (sums[which] >> 16)
        sums[which] = sums[which] or 0xFFFF
    return sums[0] << 16 | sums[1]


class VMTP(Packet):
    """A packet of a Request or a Response (3.2)."""

    name = "VMTP"
    fields_desc = [
        EntityField("client", 0),
        BitField("version", 0, 3),
        BitField("domain", 1, 13),
        BitField("hco", 0, 1),
        BitField("epg", 0, 1),
        BitField("mpg", 0, 1),
        BitField("length", None, 13),
        *(BitField(name, 0, 1) for name in "nrs apg nsr ner nrt mdg cmg sti drt".split()),
        BitField("retransmit_count", 0, 3),
        BitField("forward_count", 0, 4),
        ByteField("gap", 0),  # in a Response PGcount
        BitField("priority", 0, 4),
        BitField("reserved", 0, 3),
        BitEnumField("function", 0, 1, {0: "Request", 1: "Response"}),
        XIntField("transaction", 0),
        XIntField("delivery", None),
        EntityField("server", 0),
        BitField("cmd", 0, 1),
        BitField("dgm", 0, 1),
        BitField("mdm", 0, 1),
        BitField("sda", None, 1),
        *(BitField(name, 0, 1) for name in "res cre mrd pic".split()),
        XBitField("code", 0, 24),
        StrFixedLenField("user", b"", 20),  # with CRE the first 8 octets are the co-resident entity
        XIntField("msg_delivery", 0),
        IntField("segment_size", None),
        StrLenField("segment", b"", length_from=lambda packet: packet.length * 4),
        XIntField("checksum", None),
    ]

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        octets = bytearray(pkt[:HEADER])
        segment = bytes(self.segment)
        padded = segment + bytes(-len(segment) % 8)
        if self.length is None:
            word = struct.unpack_from(">I", octets, 8)[0] | len(padded) // 4
            struct.pack_into(">I", octets, 8, word)
        if self.delivery is None:
            blocks = min(-(-len(segment) // BLOCK), 32)
            struct.pack_into(">I", octets, 20, (1 << blocks) - 1)
        if self.sda is None and segment:
            octets[32] |= 0x10
        if self.segment_size is None:
            struct.pack_into(">I", octets, 60, len(segment))
        octets += padded
        total = self.checksum
        if total is None:
            total = checksum(bytes(octets[:HEADER] if self.hco else octets))
        return bytes(octets) + struct.pack(">I", total) + pay

    def hashret(self) -> bytes:
        return struct.pack(">QI", self.client, self.transaction)

    def answers(self, other: Packet) -> bool:
        return isinstance(other, VMTP) and self.function == 1 and other.function == 0 and self.hashret() == other.hashret()

    def mysummary(self) -> str:
        what = "Response" if self.function else "Request"
        return f"VMTP {what} {entity_text(self.client)} {entity_text(self.server)} {self.code:#x} transaction {self.transaction}"


bind_layers(IP, VMTP, proto=PROTOCOL)
