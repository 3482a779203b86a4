# SPDX-License-Identifier: MIT
"""A name server of a test's own, on loopback: SRV, A and AAAA records, and "no such
name" for all else."""

import asyncio
import ipaddress
import struct

A, AAAA, SRV, CAA = 1, 28, 33, 257


def pack_name(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(n)]) + n for n in labels) + b"\0"


def read_name(data, at):
    labels = []
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels).lower(), at + 1


class NameServer(asyncio.DatagramProtocol):
    def __init__(self):
        self.records = {}
        self.transport = None
        self.asked = []

    async def start(self, port=0):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", port))
        return self

    @property
    def address(self):
        return "127.0.0.1:%d" % self.transport.get_extra_info("sockname")[1]

    def add_a(self, name, ip):
        self.records.setdefault((name, A), []).append(
            ipaddress.IPv4Address(ip).packed)

    def add_aaaa(self, name, ip):
        self.records.setdefault((name, AAAA), []).append(
            ipaddress.IPv6Address(ip).packed)

    def add_srv(self, name, port, target, priority=0, weight=0):
        self.records.setdefault((name, SRV), []).append(
            struct.pack("!HHH", priority, weight, port) + pack_name(target))

    def add_caa(self, name, issuer):
        self.records.setdefault((name, CAA), []).append(
            b"\0\5issue" + issuer.encode())

    def datagram_received(self, data, addr):
        ident, = struct.unpack_from("!H", data)
        name, end = read_name(data, 12)
        kind, = struct.unpack_from("!H", data, end)
        rows = self.records.get((name, kind), [])
        known = any(n == name for n, _ in self.records)
        self.asked.append((name, kind))
        answer = struct.pack("!HHHHHH", ident, 0x8580 | (0 if known else 3),
                             1, len(rows), 0, 0)
        answer += data[12:end + 4]
        for row in rows:
            answer += pack_name(name) + struct.pack(
                "!HHIH", kind, 1, 60, len(row)) + row
        self.transport.sendto(answer, addr)

    def close(self):
        self.transport.close()
