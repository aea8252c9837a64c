"""A stand-in of the Hugging Face Hub: those of its HTTP interfaces that huggingface_hub uses here.

Repositories of models with branches, commits and private ones; files as git's blobs or, by their
names, in LFS. Written after the requests of huggingface_hub, which tests use as it is.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.http_server import LoopThread, http_server

TOKEN = "hf_of_the_stand_in"
IN_LFS = ("*.safetensors", "*.parquet", "*.png")
LICENCES = ("apache-2.0", "mit")

Files = dict[str, bytes]


def blob_id(content: bytes) -> str:
    """Git's hash of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def in_lfs(path: str) -> bool:
    return any(fnmatch(path, pattern) for pattern in IN_LFS)


@dataclass
class Repository:
    """A repository of the stand-in.

    Attributes:
        private: whether only the token's owner sees it.
        commits: all files of each commit.
        branches: the last commit of each branch.
        messages: commit messages, in their order.
    """

    private: bool = False
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: Files, message: str, branch: str = "main") -> str:
        """Put a commit on a branch; its hash."""
        identity = json.dumps([len(self.commits), message, sorted(files)])
        commit = hashlib.sha1(identity.encode()).hexdigest()
        self.commits[commit], self.branches[branch] = dict(files), commit
        self.messages.append(message)
        return commit

    def find(self, revision: str) -> str | None:
        """The commit that a revision is."""
        return self.branches.get(revision, revision if revision in self.commits else None)

    def files(self, revision: str = "main") -> Files:
        """All files at a revision."""
        return self.commits[self.branches.get(revision, revision)]


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        self.answer = JSONResponse(
            {"error": message or code},
            status,
            {"X-Error-Code": code, "X-Error-Message": message or code},
        )


class Hub:
    """The stand-in.

    Attributes:
        url: where it listens.
        repositories: by their names, ``OWNER/NAME``.
        objects: contents of LFS by their SHA-256.
        requests: method and path of each request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, Repository] = {}
        self.objects: Files = {}
        self.requests: list[str] = []
        repository, api = "/{owner}/{name}", "/api/models/{owner}/{name}"
        revision = "{revision:path}"
        routes = {
            "POST /api/repos/create": self._create,
            "POST /api/validate-yaml": self._validate,
            f"GET {api}": self._info,
            f"GET {api}/revision/{revision}": self._info,
            f"GET {api}/tree/{revision}": self._tree,
            f"POST {api}/branch/{revision}": self._branch,
            f"POST {api}/preupload/{revision}": self._preupload,
            f"POST {api}/commit/{revision}": self._commit,
            f"POST {repository}.git/info/lfs/objects/batch": self._batch,
            "PUT /lfs/{oid}": self._put,
            f"GET {repository}/resolve/{{revision}}/{{path:path}}": self._resolve,
        }
        self.app = Starlette(
            routes=[
                Route(route.partition(" ")[2], self._handled(do), methods=[route.split()[0]])
                for route, do in routes.items()
            ]
        )

    def add(self, name: str, files: Files, private: bool = False, branch: str = "main") -> str:
        """Put files into a repository; the commit's hash."""
        repository = self.repositories.setdefault(name, Repository(private))
        return repository.commit(files, "added", branch)

    def add_folder(self, name: str, folder: Path) -> str:
        """Put a folder's files into a repository."""
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return self.add(name, files)

    def environment(self, home: Path) -> dict[str, str]:
        """What the environment of a process whose Hub this is has beside the present one."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }

    def _handled(self, do: Any) -> Any:
        async def handle(request: Request) -> Response:
            self.requests.append(f"{request.method} {request.url.path}")
            try:
                answer: Response = await do(request)
            except Refusal as refusal:
                return refusal.answer
            return answer

        return handle

    def _owned(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {TOKEN}"

    def _found(self, request: Request, writes: bool = False) -> tuple[str, Repository]:
        name = "{owner}/{name}".format(**request.path_params)
        repository = self.repositories.get(name)
        hidden = repository is not None and repository.private and not self._owned(request)
        if repository is None or hidden:
            raise Refusal(404 if self._owned(request) else 401, "RepoNotFound")
        if writes and not self._owned(request):
            raise Refusal(401, "Unauthorized", "Invalid username or password.")
        return name, repository

    def _at(self, request: Request, repository: Repository) -> str:
        revision = request.path_params.get("revision", "main")
        if (commit := repository.find(revision)) is None:
            raise Refusal(404, "RevisionNotFound")
        return commit

    async def _create(self, request: Request) -> Response:
        if not self._owned(request):
            raise Refusal(401, "Unauthorized", "Invalid username or password.")
        asked = await request.json()
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repositories:
            return JSONResponse({"url": f"{self.url}/{name}"}, 409)
        self.repositories[name] = Repository(asked.get("visibility") == "private")
        self.repositories[name].commit({".gitattributes": b""}, "initial commit")
        return JSONResponse({"url": f"{self.url}/{name}"})

    async def _validate(self, request: Request) -> Response:
        head = (await request.json())["content"].split("---")[1]
        lines = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        if lines.get("license", "mit") not in LICENCES:
            return JSONResponse({"errors": [{"message": '"license" must be one of a list'}]}, 400)
        return JSONResponse({"errors": [], "warnings": []})

    async def _info(self, request: Request) -> Response:
        name, repository = self._found(request)
        commit = self._at(request, repository)
        siblings = [{"rfilename": path} for path in repository.files(commit)]
        return JSONResponse(
            {"id": name, "sha": commit, "private": repository.private, "siblings": siblings}
        )

    async def _tree(self, request: Request) -> Response:
        _, repository = self._found(request)
        files = repository.files(self._at(request, repository))
        every = request.query_params["recursive"].lower() == "true"
        entries = []
        for path, content in files.items():
            if every or "/" not in path:
                size = len(content)
                entry = {"type": "file", "path": path, "size": size, "oid": blob_id(content)}
                if in_lfs(path):
                    oid = hashlib.sha256(content).hexdigest()
                    entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 130}
                entries.append(entry)
        return JSONResponse(entries)

    async def _branch(self, request: Request) -> Response:
        _, repository = self._found(request, writes=True)
        branch = request.path_params["revision"]
        if branch in repository.branches:
            raise Refusal(409, "Conflict")
        repository.branches[branch] = repository.branches["main"]
        return JSONResponse({})

    async def _preupload(self, request: Request) -> Response:
        _, repository = self._found(request, writes=True)
        there = repository.files(self._at(request, repository))
        answers = []
        for file in (await request.json())["files"]:
            path = file["path"]
            mode = "lfs" if in_lfs(path) else "regular"
            answer = {"path": path, "uploadMode": mode, "shouldIgnore": False}
            if path in there:
                content = there[path]
                large = in_lfs(path)
                answer["oid"] = hashlib.sha256(content).hexdigest() if large else blob_id(content)
            answers.append(answer)
        return JSONResponse({"files": answers})

    async def _batch(self, request: Request) -> Response:
        self._found(request, writes=True)
        wanted = (await request.json())["objects"]
        upload = [
            each | {"actions": {"upload": {"href": f"{self.url}/lfs/{each['oid']}"}}}
            for each in wanted
        ]
        return JSONResponse({"transfer": "basic", "objects": upload})

    async def _put(self, request: Request) -> Response:
        content = await request.body()
        oid = request.path_params["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(400, "BadRequest", "not its SHA-256")
        self.objects[oid] = content
        return Response()

    async def _commit(self, request: Request) -> Response:
        name, repository = self._found(request, writes=True)
        head, branch = self._at(request, repository), request.path_params["revision"]
        files, header = dict(repository.files(head)), {}
        for line in (await request.body()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            match entry["key"]:
                case "header":
                    header = value
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
                case other:
                    raise Refusal(400, "BadRequest", f"no such operation: {other}")
        if branch not in repository.branches or header.get("parentCommit", head) != head:
            raise Refusal(412, "PreconditionFailed", "a commit has happened since")
        commit = repository.commit(files, header["summary"], branch)
        url = f"{self.url}/{name}/commit/{commit}"
        return JSONResponse({"commitUrl": url, "commitOid": commit, "pullRequestUrl": None})

    async def _resolve(self, request: Request) -> Response:
        _, repository = self._found(request)
        commit = self._at(request, repository)
        content = repository.files(commit).get(request.path_params["path"])
        if content is None:
            raise Refusal(404, "EntryNotFound")
        large = in_lfs(request.path_params["path"])
        etag = hashlib.sha256(content).hexdigest() if large else blob_id(content)
        return Response(content, headers={"X-Repo-Commit": commit, "ETag": f'"{etag}"'})


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """A stand-in that listens, for as long as the block lasts."""
    hub, thread = Hub(), LoopThread()
    try:
        with thread.entered(http_server(hub.app)) as port:
            hub.url = f"http://127.0.0.1:{port}"
            yield hub
    finally:
        thread.close()
