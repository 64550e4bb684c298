"""Colour profiles made here, in the form of ICC.1:2010 (version 2), so that no file of others is needed."""

import struct

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def rgb(to_xyz: np.ndarray, gamma: float | None) -> bytes:
    """A profile of a matrix (3, 3), linear RGB to XYZ under its own white, and a gamma; None is sRGB's curve."""
    white = to_xyz.sum(1)
    cone = np.diag((BRADFORD @ D50) / (BRADFORD @ white))
    adapted = np.linalg.inv(BRADFORD) @ cone @ BRADFORD @ to_xyz
    colours = {f"{name}XYZ".encode(): _xyz(adapted[:, column]) for column, name in enumerate("rgb")}
    curves = {f"{name}TRC".encode(): _curve(gamma) for name in "rgb"}
    return _profile(b"RGB ", colours | curves)


def gray(gamma: float) -> bytes:
    """A profile of greys."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)})


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text(b"made here"), b"wtpt": _xyz(D50), b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s", size, bytes(4), 0x02400000, b"mntr", space, b"XYZ ", bytes(12), b"acsp")
    return (head + bytes(28) + _numbers(D50)).ljust(128, b"\0") + table + body


def _numbers(values: np.ndarray) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + _numbers(values)


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    levels = np.linspace(0, 1, 1024)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack(">I", len(linear)) + np.rint(linear * 65535).astype(">u2").tobytes()


def _text(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(78)
