"""What no tool can be faster than: the server's work for the requests that git's protocol takes, and
writing the files."""

import http.client
import queue
import subprocess
import threading
import time
from urllib.parse import urlsplit


def packet(text):
    return b"%04x%b" % (len(text) + 4, text)


PREFIX = packet(b"object-format=sha1") + b"0001"
NAMES = b"".join(
    packet(b"ref-prefix %b" % name)
    for name in (b"refs/bench", b"refs/tags/bench", b"refs/heads/bench", b"refs/remotes/bench")
)
REFS = packet(b"command=ls-refs") + PREFIX + packet(b"peel") + NAMES + b"0000"


def post(connection, path, body):
    headers = {
        "Content-Type": "application/x-git-upload-pack-request",
        "Git-Protocol": "version=2",
    }
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status == 200, content
    return content


def one(host, number):
    """Two requests on one connection: which commit the tag is, and that commit alone."""
    connection = http.client.HTTPConnection(host)
    path = f"/m{number:02}.git/git-upload-pack"
    commit = post(connection, path, REFS)[4:44]
    options = packet(b"no-progress") + packet(b"ofs-delta") + packet(b"deepen 1")
    fetch = packet(b"command=fetch") + PREFIX + options
    received = post(
        connection, path, fetch + packet(b"want " + commit) + packet(b"done") + b"0000"
    )
    connection.close()
    return len(received)


def wire(url, count):
    """Seconds and bytes of the requests for so many modules, 24 at once, and nothing done with them."""
    waiting, received = queue.Queue(), []
    for number in range(count):
        waiting.put(number)

    def work():
        while True:
            try:
                received.append(one(urlsplit(url).netloc, waiting.get_nowait()))
            except queue.Empty:
                return

    threads = [threading.Thread(target=work) for _ in range(min(24, count))]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begin, sum(received)


def copy(tree, target):
    """Seconds that `cp -r` takes for the same files."""
    begin = time.perf_counter()
    subprocess.run(["cp", "-r", "--", tree, target], check=True)
    return time.perf_counter() - begin
