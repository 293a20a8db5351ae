"""A hub on this machine: the calls of the Hugging Face Hub's protocol that a fetch and a push make, and no others.

What is stored lies in memory. `calls` records every call that was answered as "METHOD path", with names and hashes
replaced by REPO, REV, FILE and OID; anything else is answered with 501 and fails the test that caused it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_secret_of_the_tests"
LARGE = (".safetensors", ".onnx")


@dataclass
class Repository:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""


@dataclass
class Hub:
    """What the server holds, and what it was asked.

    Attributes:
        served: set by tests to answer a download of a file with other bytes.
        commit_shown: set by tests to name another commit than the one that was asked for.
        tokens_at_storage: Authorization headers that came to the place where large files are stored.
    """

    url: str = ""
    storage_url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    served: dict[str, bytes] = field(default_factory=dict)
    commit_shown: str | None = None
    tokens_at_storage: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/api/agent-harnesses":  # once a day, for huggingface_hub's User-Agent
            self._send(404)
            return
        for method, pattern, name, function in _ROUTES:
            if method == self.command and (found := re.fullmatch(pattern, self.path.partition("?")[0])):
                self.hub.calls.append(f"{method} {name}")
                function(self, body, *found.groups())
                return
        self.hub.unknown.append(f"{self.command} {self.path}")
        self._send(501)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _send(self, status: int, content: bytes | Any = b"", **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _is_known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    # ---- reading ---------------------------------------------------------------------------------------------------

    def resolve(self, body: bytes, name: str, revision: str, file: str) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self._is_known()):
            self._send(404 if self._is_known() else 401, X_Error_Code="RepoNotFound")
            return
        revision = repository.head if revision == "main" else revision
        files = repository.commits.get(revision)
        if files is None:
            self._send(404, X_Error_Code="RevisionNotFound")
            return
        if file not in files:
            self._send(404, X_Error_Code="EntryNotFound", X_Repo_Commit=revision)
            return
        content = self.hub.served.get(file, files[file])
        digest, commit = hashlib.sha256(content).hexdigest(), self.hub.commit_shown or revision
        if file.endswith(LARGE):
            self.hub.large[digest] = content
            place = {"Location": f"{self.hub.storage_url}/storage/{digest}", "X_Linked_Size": str(len(content))}
            self._send(302, X_Repo_Commit=commit, X_Linked_Etag=f'"{digest}"', **place)
            return
        self._send(200, content, X_Repo_Commit=commit, ETag=f'"{digest[:40]}"')

    def stored(self, body: bytes, oid: str) -> None:
        self.hub.tokens_at_storage += self.headers.get_all("Authorization") or []
        self._send(200, self.hub.large[oid], ETag=f'"{oid}"')

    # ---- writing ---------------------------------------------------------------------------------------------------

    def create(self, body: bytes) -> None:
        if not self._is_known():  # and a careless server repeats what it was given
            self._send(400, {"error": f"unknown token: {self.headers.get('Authorization')}"})
            return
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            self._send(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
            return
        self.hub.repositories[name] = Repository(asked.get("private", asked.get("visibility") == "private"))
        self._send(200, {"url": f"{self.hub.url}/{name}", "name": name})

    def validate_card(self, body: bytes) -> None:
        self.hub.cards.append(json.loads(body)["content"])
        self._send(200, {"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        files = [one["path"] for one in json.loads(body)["files"]]
        modes = {file: "lfs" if file.endswith(LARGE) else "regular" for file in files}
        self._send(200, {"files": [{"path": f, "uploadMode": m, "shouldIgnore": False} for f, m in modes.items()]})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.storage_url}/storage/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        self.hub.tokens_at_storage += self.headers.get_all("Authorization") or []
        self.hub.large[oid] = body
        self._send(200)

    def commit(self, body: bytes, name: str, revision: str) -> None:
        if not self._is_known():
            self._send(403, {"error": "read only"})
            return
        repository = self.hub.repositories[name]
        files = dict(repository.commits.get(repository.head, {}))
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        oid = hashlib.sha1(body).hexdigest()
        repository.commits[oid], repository.head = files, oid
        self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True})


_REPO, _REV, _OID = r"([\w.-]+/[\w.-]+)", r"([\w.-]+)", r"([0-9a-f]{64})"
_Route = Callable[..., None]
_ROUTES: list[tuple[str, str, str, _Route]] = [
    ("HEAD", rf"/{_REPO}/resolve/{_REV}/(.+)", "/REPO/resolve/REV/FILE", _Handler.resolve),
    ("GET", rf"/{_REPO}/resolve/{_REV}/(.+)", "/REPO/resolve/REV/FILE", _Handler.resolve),
    ("GET", rf"/storage/{_OID}", "/storage/OID", _Handler.stored),
    ("POST", "/api/repos/create", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", "/api/validate-yaml", _Handler.validate_card),
    ("POST", rf"/api/models/{_REPO}/preupload/{_REV}", "/api/models/REPO/preupload/REV", _Handler.preupload),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "/REPO.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", rf"/storage/{_OID}", "/storage/OID", _Handler.store),
    ("POST", rf"/api/models/{_REPO}/commit/{_REV}", "/api/models/REPO/commit/REV", _Handler.commit),
]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """The hub at 127.0.0.1; large files are stored at "localhost", which is another host for whoever holds a token."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    hub.storage_url = f"http://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
