"""A TCP proxy that is as far away as said: delay.py PORT TARGET_PORT MILLISECONDS.

Each direction takes half of the delay, and a connection is made after the whole of it, as a handshake
is. With port 0 it takes one that is free. It says which in its first line of output.
"""

import asyncio
import sys


async def pipe(reader, writer, seconds):
    """Passes on what arrives, each piece after its time; the pieces do not wait for each other."""
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue(256)

    async def passing():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    task = asyncio.create_task(passing())
    try:
        while data := await reader.read(65536):
            await queue.put((loop.time() + seconds, data))
        await asyncio.sleep(seconds)
    finally:
        await queue.put(None)
        await task


async def main():
    port, target, milliseconds = (int(word) for word in sys.argv[1:])
    seconds = milliseconds / 1000

    async def connected(reader, writer):
        await asyncio.sleep(seconds)
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(
            pipe(reader, there_writer, seconds / 2),
            pipe(there_reader, writer, seconds / 2),
            return_exceptions=True,
        )

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
