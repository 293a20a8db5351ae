"""Fetching: resumed for real against a local server, checked by hash, complete or absent."""

from __future__ import annotations

import hashlib
import http.server
import lzma
import re
import threading
from dataclasses import dataclass, field

import pytest

from mmkg_sdk.data import fetch, read_dataset
from mmkg_sdk.data.download import Download, download
from mmkg_sdk.data.registry import PUBLIC, PublicFile, fetch_files
from mmkg_sdk.errors import DataError
from tests.places import REAL_DATA

CONTENT = bytes(range(256)) * 2000


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def server():
    behaviour = Behaviour()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.status != 200:
                self.send_error(behaviour.status)
                return
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and behaviour.ranges else 0
            if start >= len(behaviour.content) and start:
                self.send_error(416)
                return
            body = behaviour.content[start:]
            self.send_response(206 if start else 200)
            if start:
                last = len(behaviour.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{len(behaviour.content)}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if behaviour.cut_after:
                body = body[: behaviour.cut_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    behaviour.url = f"http://127.0.0.1:{service.server_port}/file"
    yield behaviour
    service.shutdown()
    service.server_close()
    thread.join()


def wanted(server, content=CONTENT):
    return Download(server.url, hashlib.sha256(content).hexdigest(), len(content))


def test_a_cut_connection_is_resumed_where_it_broke_off(server, tmp_path):
    server.cut_after = [100_000, 50_000]
    download(wanted(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, tmp_path):
    server.cut_after = [1000, 1000, 1000, 1000]
    with pytest.raises(DataError, match=r"4,000 of 512,000 bytes are kept"):
        download(wanted(server), tmp_path / "file")
    assert not (tmp_path / "file").exists()
    download(wanted(server), tmp_path / "file")
    assert server.asked[-1] == "bytes=4000-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_full_disk_is_told_from_a_broken_network_and_what_arrived_is_kept(server, tmp_path):
    room = pytest.importorskip("tests.faults.room", reason="this system has no limits of files")
    lacks = (
        r"file\.part could not be written \(File too large; [\d,]+ bytes needed, [\d,]+ free\)\. What arrived is kept"
    )
    with room.files_of_at_most(200_000), pytest.raises(DataError, match=lacks):
        download(wanted(server), tmp_path / "file")
    assert server.asked == [None], "nothing is fetched again"
    download(wanted(server), tmp_path / "file")
    assert server.asked == [None, "bytes=200000-"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    server.ranges = False
    server.cut_after = [100_000]
    download(wanted(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_hash_names_both_digests_and_keeps_nothing(server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    found, expected = (hashlib.sha256(content).hexdigest() for content in (server.content, CONTENT))
    with pytest.raises(DataError, match=f"{found}.*expected {expected}"):
        download(wanted(server), tmp_path / "file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [CONTENT + b"more", CONTENT[:-10]])
def test_a_file_of_another_length_is_an_error(server, tmp_path, content):
    server.content = content
    with pytest.raises(DataError, match=r"SHA-256|could not be fetched"):
        download(wanted(server), tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_leftover_of_another_file_does_no_harm(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"z" * 1000)
    with pytest.raises(DataError, match="SHA-256"):
        download(wanted(server), tmp_path / "file")
    download(wanted(server), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_missing_address_is_not_tried_again(server, tmp_path):
    server.status = 404
    with pytest.raises(DataError, match=r"404.*--from DIR"):
        download(wanted(server), tmp_path / "file")
    assert len(server.asked) == 1


def test_no_server_at_all_is_an_error(tmp_path):
    with pytest.raises(DataError, match="could not be fetched"):
        download(Download("http://127.0.0.1:9/file", "0" * 64, 10), tmp_path / "file")


def test_a_folder_appears_when_all_of_it_is_there(server, tmp_path):
    one = PublicFile("one.txt", server.url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    other = PublicFile("two.txt", server.url, "0" * 64, len(CONTENT))
    with pytest.raises(DataError, match="SHA-256"):
        fetch_files((one, other), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    fetched = fetch_files((one,), tmp_path / "set")
    assert (fetched / "one.txt").read_bytes() == CONTENT
    assert len(server.asked) == 2  # one.txt was not fetched a second time
    (fetched / "one.txt").write_bytes(b"altered")
    with pytest.raises(DataError, match="SHA-256"):
        fetch_files((one,), tmp_path / "set")


def test_a_missing_optional_file_is_a_warning(server, tmp_path):
    one = PublicFile("one.txt", server.url, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    offline = PublicFile("names.tsv", None, "0" * 64, 1, required=False)
    with pytest.warns(UserWarning, match=r"without names.tsv"):
        assert fetch_files((one, offline), tmp_path / "set").is_dir()


@pytest.mark.parametrize(("name", "folder"), [("db15k", "DB15K"), ("mkg-w", "MKG-W"), ("mkg-y", "MKG-Y")])
def test_an_offline_copy_is_unpacked_and_checked(tmp_path, name, folder):
    source = REAL_DATA / folder
    if not source.is_dir():
        pytest.skip(f"the real data set {folder} is not on this machine")
    fetched = fetch(name, cache=tmp_path, source=source)
    assert fetched == tmp_path / name
    assert {path.name for path in fetched.iterdir()} == {file.name for file in PUBLIC[name]}
    assert all((fetched / file.name).stat().st_size == file.size for file in PUBLIC[name])
    assert len(read_dataset(fetched).graph.train) > 20_000
    assert fetch(name, cache=tmp_path) == fetched  # found there, no network needed


def test_an_altered_offline_copy_is_refused(tmp_path):
    for file in PUBLIC["mkg-y"]:
        (tmp_path / f"{file.name}.xz").write_bytes(lzma.compress(b"0\t0\t1\n"))
    with pytest.raises(DataError, match=r"train.txt.xz has SHA-256"):
        fetch("mkg-y", cache=tmp_path / "cache", source=tmp_path)
    assert not (tmp_path / "cache" / "mkg-y").exists()


def test_an_unknown_name_or_an_incomplete_copy_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"'fb15k'; expected one of db15k, mkg-w, mkg-y"):
        fetch("fb15k", cache=tmp_path)
    with pytest.raises(DataError, match=r"has no train.txt"):
        fetch("mkg-y", cache=tmp_path, source=tmp_path)
    with pytest.raises(DataError, match=r"not a folder"):
        fetch("mkg-y", cache=tmp_path, source=tmp_path / "absent")


def test_the_table_of_files_is_well_formed():
    for name, files in PUBLIC.items():
        assert {"train.txt", "valid.txt", "test.txt", "entity2id.txt"} <= {file.name for file in files}, name
        for file in files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.url is None or file.url.endswith(f"/{file.name}")
            assert file.url is not None or not file.required
