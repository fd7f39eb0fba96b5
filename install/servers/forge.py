"""A small Puppet Forge: forge.py PORT DIRECTORY.

Serves the modules in the sub-directories of DIRECTORY, and those in its `.tar.gz` files, with the
part of the Forge API v3 that r10k, puppet and librarian-puppet read to install one: modules,
releases and files. Only the standard library is used, and only the loopback interface is listened
on. With port 0 it takes one that is free. It says which in its first line of output.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

PAGE = 20


class Release:
    """One module as the Forge has it: `data` is its JSON, `tarball` the file."""

    def __init__(self, metadata, tarball=None, tree=None):
        owner, name = metadata["name"].replace("/", "-").split("-", 1)
        self.module = f"{owner}-{name}"
        self.slug = f"{self.module}-{metadata['version']}"
        self.tarball = tarball or archive(tree, self.slug)
        self.data = {
            "uri": f"/v3/releases/{self.slug}",
            "slug": self.slug,
            "module": {
                "uri": f"/v3/modules/{self.module}",
                "slug": self.module,
                "name": name,
                "owner": {"uri": f"/v3/users/{owner}", "slug": owner, "username": owner},
            },
            "version": metadata["version"],
            "metadata": metadata,
            "file_uri": f"/v3/files/{self.slug}.tar.gz",
            "file_size": len(self.tarball),
            "file_md5": hashlib.md5(self.tarball).hexdigest(),
            "file_sha256": hashlib.sha256(self.tarball).hexdigest(),
            "deleted_at": None,
            "created_at": "2024-01-01 00:00:00 +0000",
            "updated_at": "2024-01-01 00:00:00 +0000",
        }

    @classmethod
    def of_tree(cls, tree):
        return cls(json.loads((tree / "metadata.json").read_text()), tree=tree)

    @classmethod
    def of_archive(cls, file):
        """One that was packed before, as it is: its metadata.json with the shortest path counts."""
        tarball = file.read_bytes()
        with tarfile.open(fileobj=io.BytesIO(tarball)) as tar:
            names = [n for n in tar.getnames() if n.split("/")[-1] == "metadata.json"]
            metadata = json.load(tar.extractfile(min(names, key=len)))
        return cls(metadata, tarball=tarball)

    def order(self):
        """Releases before pre-releases, and then by number."""
        version, _, pre = self.data["version"].partition("-")
        return (not pre, [int(number) for number in version.split(".")], pre)

    def as_listed(self):
        short = ("uri", "slug", "version", "file_uri", "file_size", "created_at", "deleted_at")
        return {key: self.data[key] for key in short}


def as_module(releases):
    """A module as the Forge has it, of its releases."""
    newest_first = sorted(releases, key=Release.order, reverse=True)
    newest = newest_first[0]
    return newest.data["module"] | {
        "current_release": newest.data,
        "releases": [release.as_listed() for release in newest_first],
    }


def archive(tree, top):
    """A .tar.gz of `tree` under the directory `top`, the same bytes every time."""

    def neutral(entry):
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        tar.add(tree, arcname=top, filter=neutral)
    return gzip.compress(plain.getvalue(), mtime=0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    releases = []

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case ["v3", "modules"]:
                slugs = sorted({release.module for release in self.releases})
                self.page("/v3/modules", [as_module(self.of(slug)) for slug in slugs], query)
            case ["v3", "releases"]:
                wanted = query.get("module", "").replace("/", "-")
                found = self.of(wanted) if wanted else self.releases
                self.page("/v3/releases", [release.data for release in found], query)
            case ["v3", "modules", slug]:
                found = self.of(slug)
                self.one([as_module(found)] if found else [])
            case ["v3", "releases", slug]:
                self.one([r.data for r in self.releases if r.slug == slug])
            case ["v3", "files", name]:
                files = (r.tarball for r in self.releases if f"{r.slug}.tar.gz" == name)
                if (tarball := next(files, None)) is None:
                    self.missing()
                else:
                    self.send(200, "application/x-gzip", tarball)
            case _:
                self.missing()

    def of(self, slug):
        return [release for release in self.releases if release.module == slug]

    def one(self, found):
        if found:
            self.json(200, found[0])
        else:
            self.missing()

    def page(self, path, found, query):
        limit, offset = int(query.get("limit", PAGE)), int(query.get("offset", 0))

        def at(position):
            return f"{path}?{urlencode(query | {'limit': limit, 'offset': position})}"

        pagination = {
            "limit": limit,
            "offset": offset,
            "first": at(0),
            "previous": at(max(offset - limit, 0)) if offset else None,
            "current": at(offset),
            "next": at(offset + limit) if offset + limit < len(found) else None,
            "total": len(found),
        }
        self.json(200, {"pagination": pagination, "results": found[offset : offset + limit]})

    def missing(self):
        errors = ["The requested resource could not be found"]
        self.json(404, {"message": "404 Not Found", "errors": errors})

    def json(self, status, document):
        self.send(status, "application/json; charset=utf-8", json.dumps(document).encode())

    def send(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    # Of the standard five, connections that come at once are lost, and tried again a second later.
    request_queue_size = 128


def main():
    port, directory = sys.argv[1:]
    trees = sorted(file.parent for file in Path(directory).glob("*/metadata.json"))
    archives = sorted(Path(directory).glob("*.tar.gz"))
    Handler.releases = [Release.of_tree(tree) for tree in trees]
    Handler.releases += [Release.of_archive(file) for file in archives]
    server = Server(("127.0.0.1", int(port)), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
