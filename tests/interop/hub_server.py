"""A stand-in of the hub's HTTP interface, as far as pushing and pulling a model uses it; a real server on this machine.

It keeps repositories in memory, each a list of commits. Small files come within a commit; safetensors come by the
protocol for large files, as at the hub itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_stand_in"


@dataclass
class Repository:
    """Files by name after each commit, oldest first, by the commit's hash."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Hash and files of a commit; of the newest for ``main``."""
        if revision == "main" and self.commits:
            revision = list(self.commits)[-1]
        return (revision, self.commits[revision]) if revision in self.commits else None


class Hub(ThreadingHTTPServer):
    """The server; ``repositories`` is what it keeps, ``asked`` every path that was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, code: int, value: Any = None, headers: dict[str, str] | None = None, data: bytes = b"") -> None:
        content = data if value is None else json.dumps(value).encode()
        self.send_response(code)
        given = {"Content-Length": str(len(content)), "Content-Type": "application/json", **(headers or {})}
        for name, text in given.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def repository(self, name: str) -> Repository | None:
        found = self.server.repositories.get(name)
        if found is None or (found.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        return found

    def do_POST(self) -> None:
        path, body = unquote(urlsplit(self.path).path), self.body()
        self.server.asked.append(path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid username or password."})
        elif path == "/api/repos/create":
            self.create(json.loads(body))
        elif path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            if self.repository(found[1]):
                files = [{**file, "shouldIgnore": False} for file in json.loads(body)["files"]]
                modes = [{**file, "uploadMode": mode_of(file["path"])} for file in files]
                self.answer(200, {"files": modes})
        elif re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self.batch(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self.commit(found[1], body)
        else:
            self.answer(404, {"error": f"no {path}"})

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        exists = name in self.server.repositories
        if not exists:
            self.server.repositories[name] = Repository(
                bool(asked.get("private") or asked.get("visibility") == "private")
            )
        self.answer(409 if exists else 200, {"url": f"{self.server.url}/{name}", "error": "exists", "id": name})

    def batch(self, asked: dict[str, Any]) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/large/{one['oid']}"}}}
            for one in asked["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def do_PUT(self) -> None:
        oid, data = self.path.rpartition("/")[2], self.body()
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.large[oid] = data
        self.answer(200)

    def commit(self, name: str, body: bytes) -> None:
        repository = self.repository(name)
        if repository is None:
            return
        newest = repository.files("main")
        files = dict(newest[1]) if newest else {}
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        digest = hashlib.sha1(body).hexdigest()
        repository.commits[digest] = files
        url = f"{self.server.url}/{name}/commit/{digest}"
        self.answer(200, {"success": True, "commitOid": digest, "commitUrl": url, "hookOutput": ""})

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            self.info(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", path):
            self.tree(found[1], found[2])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.file(found[1], found[2], found[3])
        else:
            self.answer(404, {"error": f"no {path}"})

    do_HEAD = do_GET

    def found(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.repository(name)
        if repository is None:
            return None
        files = repository.files(revision)
        if files is None:
            self.answer(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        return files

    def info(self, name: str, revision: str) -> None:
        if found := self.found(name, revision):
            siblings = [{"rfilename": path} for path in found[1]]
            facts = {"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "private": True, "tags": []}
            self.answer(200, {**facts, "downloads": 0, "likes": 0})

    def tree(self, name: str, revision: str) -> None:
        if found := self.found(name, revision):
            self.answer(
                200,
                [
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in found[1].items()
                ],
            )

    def file(self, name: str, revision: str, path: str) -> None:
        if not (found := self.found(name, revision)):
            return
        data = found[1].get(path)
        if data is None:
            self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
            return
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self.answer(200, data=data, headers={"ETag": etag, "X-Repo-Commit": found[0], "Accept-Ranges": "bytes"})


def mode_of(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"
