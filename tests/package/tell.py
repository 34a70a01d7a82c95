"""A device that tells one result over MLLP and waits for its acknowledgement: PORT TUBE."""

import socket
import sys

port, tube = int(sys.argv[1]), sys.argv[2]
message = (
    f"MSH|^~\\&|XN||||20260310091000||ORU^R01|M{tube}|P|2.5.1\r"
    f"PID|1\rOBR|1||{tube}|GLU\rOBX|1|NM|GLU||5.1|mmol/L|||||F\r"
)
with socket.create_connection(("127.0.0.1", port), timeout=60) as device:
    device.sendall(b"\x0b" + message.encode() + b"\x1c\r")
    answer = b""
    while b"\x1c" not in answer:
        answer += device.recv(4096) or sys.exit("the device is cut off")
    assert b"MSA|AA|" in answer, answer
