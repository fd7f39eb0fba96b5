"""Serves a directory of bare git repositories over HTTP, read only: git.py PORT DIRECTORY [old].

An old one speaks version 0 of the protocol only, as servers before git 2.18 do. With port 0 it takes one that is free. It says which in its first line of output.

`git http-backend` does the work; this is the web server that it asks for (see git-http-backend(1)).
Only the standard library is used, and only the loopback interface is listened on.
"""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


BACKEND = os.path.join(
    subprocess.check_output(["git", "--exec-path"], text=True).strip(), "git-http-backend"
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer is written in several pieces, and none waits until the one before has been received.
    disable_nagle_algorithm = True
    directory = ""
    old = False

    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.body())

    def body(self):
        """The whole request body; git sends long ones in chunks (RFC 9112, section 7.1)."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def answer(self, body):
        url = urlsplit(self.path)
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_PROJECT_ROOT": self.directory,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": "" if self.old else self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(url.path),
            "QUERY_STRING": url.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        # Nobody is ever authenticated, so http-backend refuses every push. It is run as web servers
        # do, without a `git` before it that does nothing but start it.
        backend = subprocess.Popen(
            [BACKEND],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        writer = threading.Thread(target=feed, args=(backend.stdin, body))
        writer.start()
        try:
            self.relay(backend.stdout)
        finally:
            backend.stdout.close()
            writer.join()
            backend.wait()

    def relay(self, output):
        """Turns a CGI answer (RFC 3875, section 6) into an HTTP one, as it arrives."""
        status, headers = 200, []
        while line := output.readline().decode("latin-1").strip():
            name, value = line.split(": ", 1)
            if name.lower() == "status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        # Its length is not known before the end, and a pack may be large, so it goes in chunks
        # (RFC 9112, section 7.1) and the connection stays, as it does with git hosts.
        if self.request_version == "HTTP/1.0":
            self.send_header("Connection", "close")
            self.end_headers()
            while chunk := output.read1(65536):
                self.wfile.write(chunk)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := output.read1(65536):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")


def feed(pipe, body):
    """Writes beside the reader: the backend may answer before it has read everything."""
    try:
        with pipe:
            pipe.write(body)
    except BrokenPipeError:
        pass


class Server(ThreadingHTTPServer):
    # Of the standard five, connections that come at once are lost, and tried again a second later.
    request_queue_size = 128


def main():
    port, directory, *kind = sys.argv[1:]
    Handler.directory = os.path.abspath(directory)
    Handler.old = kind == ["old"]
    server = Server(("127.0.0.1", int(port)), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
