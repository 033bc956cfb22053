"""What the server of live pages lets through, asked over real sockets."""

import http.client
import json
import socket
import threading
import time

import pytest
import uvicorn

from celebahq_tools.errors import ConfigError
from celebahq_tools.rank.spectrum import score_spectrum
from celebahq_tools.serve.access import AccessRules
from celebahq_tools.serve.page_app import Stopper
from celebahq_tools.serve.work_app import WorkPages, make_work_app
from celebahq_tools.store.encoding import encode_face, save_encoded
from celebahq_tools.store.journal import Journal
from celebahq_tools.store.reviews import Reviews
from celebahq_tools.store.waiting import face_path
from celebahq_tools.types import ItemRecord

TOKEN = "correct-horse-battery"
HOSTILE = "<script>alert(1)</script>\u202e.jpg"


def make_work(folder):
    from skimage.data import astronaut

    photo = astronaut()
    (folder / "faces").mkdir(parents=True)
    with Journal(folder / "journal.sqlite") as journal:
        journal.bind_settings({"size": "64", "dejpeg": "none", "sr": "none"})
        journal.begin_run({"keep": 3, "found": 9})
        for index in range(4):
            pixels = photo[index * 60 : index * 60 + 64, 180:244].copy()
            score = score_spectrum(pixels)
            path = face_path(folder / "faces", index)
            path.parent.mkdir(exist_ok=True)
            save_encoded(path, encode_face(pixels))
            journal.record(ItemRecord(index, HOSTILE, score=score.value, components=score.components))
    (folder / "secret.txt").write_text("secret")
    return folder


class Served:
    """A server in a thread, and requests to it."""

    def __init__(self, work, host, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.rules = AccessRules(host, self.port, TOKEN)
        self.stopper = Stopper()
        self.pages = WorkPages(work)
        app = make_work_app(self.pages, self.rules, self.stopper)
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def ask(self, path, method="GET", body=None, host=None, token=False, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Host"] = host or f"127.0.0.1:{self.port}"
        if token:
            headers["Cookie"] = f"other=1; {self.rules.cookie}={TOKEN}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.text = answer.read().decode("utf-8", "replace") if answer.getheader("content-type", "") else ""
        connection.close()
        return answer

    def close(self):
        self.stopper.is_set = True
        self.server.should_exit = True
        self.thread.join(30)
        self.listener.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    served = Served(make_work(tmp_path_factory.mktemp("local") / "work"), "127.0.0.1")
    yield served
    served.close()


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """The same, as if it listened on every address: there the token is asked for."""
    served = Served(make_work(tmp_path_factory.mktemp("remote") / "work"), "0.0.0.0")
    yield served
    served.close()


VERDICT = {"index": 1, "verdict": "refused"}


def test_reading_on_this_machine_needs_no_token_and_writing_does(local):
    assert local.ask("/").status == 200
    assert local.ask("/api/faces?since=0").status == 200
    assert local.ask("/thumb/1").getheader("content-type") == "image/webp"
    assert local.ask("/api/review", "POST", VERDICT).status == 401
    assert local.ask("/api/undo", "POST", {}).status == 401
    assert local.ask("/api/review", "POST", VERDICT, Authorization="Bearer wrong-horse-battery").status == 401
    assert Reviews(local.pages.live.view.path / "journal.sqlite").verdicts() == {}
    assert local.ask("/api/review", "POST", VERDICT, token=True).status == 200
    undone = local.ask("/api/undo", "POST", {}, Authorization=f"Bearer {TOKEN}")
    assert json.loads(undone.text) == {"index": 1, "verdict": ""}


@pytest.mark.parametrize("path", ["/", "/events", "/api/faces", "/thumb/1", "/face/1", "/steps/1"])
def test_elsewhere_everything_needs_the_token(remote, path):
    assert remote.ask(path).status == 401
    if path != "/events":  # it never ends
        assert remote.ask(path, token=True, host="somewhere.example:80").status == 200


def test_the_printed_address_turns_into_a_cookie_that_scripts_and_other_sites_cannot_use(local):
    answer = local.ask(local.rules.address.partition(str(local.port))[2])
    assert answer.status == 303
    assert answer.getheader("location") == "/"
    cookie = answer.getheader("set-cookie")
    assert TOKEN in cookie
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
    assert local.ask("/?token=wrong").status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1:1", "127.0.0.1", "127.0.0.1.evil.example:{}"]
)
def test_other_names_of_this_machine_are_refused(local, host):
    assert local.ask("/", host=host.format(local.port)).status == 421
    assert local.ask("/api/review", "POST", VERDICT, token=True, host=host.format(local.port)).status == 421


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_every_loopback_name_is_known(local, name):
    assert local.ask("/thumb/1", host=f"{name}:{local.port}").status == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{}", "http://127.0.0.1:1", "http://localhost:{}"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_origins_are_refused_with_and_without_the_token(local, origin, method):
    path, body = ("/api/faces", None) if method == "GET" else ("/api/review", VERDICT)
    origin = origin.format(local.port)
    for token in (False, True):
        assert local.ask(path, method, body, token=token, Origin=origin).status == 403


def test_our_own_origin_is_let_through(local):
    origin = f"http://127.0.0.1:{local.port}"
    assert (
        local.ask("/api/review", "POST", VERDICT, token=True, Origin=origin, Sec_Fetch_Site="same-origin").status == 200
    )
    local.ask("/api/undo", "POST", {}, token=True)


def test_pictures_and_data_cannot_be_put_into_pages_of_other_sites(local):
    for site in ("cross-site", "same-site"):
        assert local.ask("/thumb/1", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert local.ask("/api/review", "POST", VERDICT, token=True, Sec_Fetch_Site=site).status == 403
    # A link elsewhere may lead here: the page can be neither framed nor read.
    page = local.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert page.status == 200
    assert "frame-ancestors 'none'" in page.getheader("content-security-policy")
    assert page.getheader("x-frame-options") == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/thumb/../secret.txt",
        "/thumb/..%2f..%2fsecret.txt",
        "/thumb/%2e%2e/secret.txt",
        "/thumb/1/../../secret.txt",
        "//etc/passwd",
        "/face/-1",
        "/face/1.5",
        "/face/99999999999999999999999999",
        "/steps/secret.txt",
        "/journal.sqlite",
        "/thumb/777",
        "/thumb/1%00",
    ],
)
def test_paths_lead_nowhere_but_to_faces(local, path):
    answer = local.ask(path, token=True)
    assert answer.status in (404, 503, 400)
    assert "secret" not in answer.text.replace("secret.txt", "")
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("body", "content", "status"),
    [
        (b'{"index": 1, "verdict": "accepted"}', "text/plain", 415),
        (b"index=1&verdict=accepted", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"index": "1", "verdict": "accepted"}', "application/json", 400),
        (b'{"index": true, "verdict": "accepted"}', "application/json", 400),
        (b'{"index": 1, "verdict": "<b>"}', "application/json", 400),
        (b'{"index": 99, "verdict": "accepted"}', "application/json", 400),
        (b'{"index": 1e999, "verdict": "accepted"}', "application/json", 400),
        (b'{"index": 99999999999999999999999999, "verdict": "accepted"}', "application/json", 400),
        (b" " * 5000, "application/json", 413),
    ],
)
def test_wrong_bodies_are_refused(local, body, content, status):
    answer = local.ask("/api/review", "POST", body, token=True, Content_Type=content)
    assert answer.status == status
    assert json.loads(local.ask("/api/faces?since=0").text)["faces"]["verdict"] == [""] * 4


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(local, method):
    assert local.ask("/api/review", method, b"{}", token=True).status == 405
    assert local.ask("/api/review", method, b"{}").status == 401


def test_answers_tell_browsers_to_be_careful(local):
    for path in ("/", "/thumb/1", "/face/1", "/gone"):
        answer = local.ask(path)
        assert answer.getheader("x-content-type-options") == "nosniff"
        assert answer.getheader("cross-origin-resource-policy") == "same-origin"
        assert answer.getheader("referrer-policy") == "no-referrer"
        assert "default-src 'none'" in answer.getheader("content-security-policy")
        assert answer.getheader("server") in (None, "uvicorn")
    assert "script-src" not in local.ask("/face/1").getheader("content-security-policy")


def test_hostile_names_stay_text(local):
    page = local.ask("/").text
    face = local.ask("/face/1").text
    assert "<script>alert" not in page + face
    assert "\u202e" not in page + face
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e.jpg" in page


def test_changes_are_numbered_and_another_life_of_the_server_begins_again(local):
    first = json.loads(local.ask("/api/faces?since=0").text)
    assert first["whole"]
    assert len(first["faces"]["index"]) == 4
    again = json.loads(local.ask(f"/api/faces?since={first['version']}&epoch={first['epoch']}").text)
    assert again["faces"]["index"] == []
    local.ask("/api/review", "POST", {"index": 2, "verdict": "refused"}, token=True)
    news = json.loads(local.ask(f"/api/faces?since={first['version']}&epoch={first['epoch']}").text)
    assert dict(zip(news["faces"]["index"], news["faces"]["verdict"], strict=True))[2] == "refused"
    assert json.loads(local.ask(f"/api/faces?since={news['version']}&epoch=other").text)["whole"]
    local.ask("/api/undo", "POST", {}, token=True)
    assert local.ask("/api/faces?since=x").status == 400


@pytest.mark.parametrize(
    ("host", "local_only"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)]
)
def test_only_loopback_counts_as_this_machine(host, local_only):
    assert AccessRules(host, 80, TOKEN).is_local == local_only


def test_a_short_token_is_refused():
    with pytest.raises(ConfigError, match="16 characters"):
        AccessRules("127.0.0.1", 80, "short")
