"""Reads the video track of an RTSP stream with aiortsp and checks that no RTP packet is missing.

Usage: aiortsp_read.py tcp|udp URL PACKETS. Prints one line; exit code 0 when PACKETS came without a gap.
"""

import asyncio
import sys

from aiortsp.rtsp.reader import RTSPReader


async def read(url: str, wanted: int) -> None:
    sequences = []
    async with RTSPReader(url) as reader:
        async for packet in reader.iter_packets():
            sequences.append(packet.seq)
            if len(sequences) >= wanted:
                break
    gaps = sum((after - before) % 65536 != 1 for before, after in zip(sequences, sequences[1:]))
    print(f"packets {len(sequences)} gaps {gaps}")
    if len(sequences) < wanted or gaps:
        sys.exit(1)


SCHEMES = {"tcp": "rtspt://", "udp": "rtsp://"}  # aiortsp takes the transport from the scheme

transport, url, wanted = sys.argv[1:]
asyncio.run(asyncio.wait_for(read(url.replace("rtsp://", SCHEMES[transport]), int(wanted)), 15))
