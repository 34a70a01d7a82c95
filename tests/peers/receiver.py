"""A HIS that takes results, by the MLLP server and the parser of the `hl7` package.

Runs in a process of its own: prints its port, then every message as one JSON line with the bytes
as received and the values as the package reads them, until it is told to stop.
"""

import asyncio
import json
import sys

import hl7
from hl7.mllp import start_hl7_server


async def serve(reader, writer):
    try:
        while True:
            block = await reader.readblock()
            told = {"raw": block.hex()}
            try:
                message = hl7.parse(block.decode("utf-8"))
                writer.writemessage(message.create_ack("AA"))
                told["values"] = [str(obx[5]) for obx in message.segments("OBX")]
            except Exception as error:  # whatever it cannot read is a finding
                told["error"] = f"{type(error).__name__}: {error}"
            print(json.dumps(told), flush=True)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def main():
    server = await start_hl7_server(
        serve, "127.0.0.1", 0, encoding="utf-8", encoding_errors="strict"
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
