# SPDX-License-Identifier: Apache-2.0
"""HTTP for tests: whole requests by the standard library, and sockets for what it never sends."""
import http.client
import json
import re
import socket

from pool import wait_until

HTTP = ("--http=127.0.0.1:0",)


def address(daemon):
    host, port = daemon.endpoints["http"][0].rsplit(":", 1)
    return host, int(port)


def dial(daemon, receive_bytes=None, seconds=30):
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(seconds)
    sock.connect(address(daemon))
    return sock


class Answer:
    def __init__(self, response, body):
        self.code = response.status
        self.headers = response.headers
        self.body = body

    @property
    def status(self):
        """The status in an error's text."""
        return json.loads(self.body)["status"]


class Browser:
    """A connection that is kept."""

    def __init__(self, daemon):
        self.connection = http.client.HTTPConnection(*address(daemon), timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        return Answer(response, response.read())


def ask(daemon, method, path, body=None, **headers):
    with Browser(daemon) as browser:
        return browser.ask(method, path, body, **headers)


def talk(daemon, data, half_close=True):
    """Sends bytes and returns all that comes until the server closes."""
    with dial(daemon) as sock:
        heard = b""
        try:
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent
        try:
            while part := sock.recv(65536):
                heard += part
        except ConnectionError:
            pass
        return heard


def code_of(heard):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", heard)
    return int(found[1]) if found else None


def metric(daemon, series):
    """The number of a series, which is named as on the page."""
    text = ask(daemon, "GET", "/metrics").body.decode()
    found = [line[len(series) + 1:] for line in text.splitlines() if line.startswith(series + " ")]
    assert len(found) == 1, f"{series} is there {len(found)} times in\n{text}"
    return float(found[0])


def expect_metric(daemon, series, wanted):
    found = metric(daemon, series)
    assert found == wanted, f"{series} is {found}, not {wanted}"


def faults(daemon):
    """What the server has counted of turned_away, malformed, slow and broken."""
    text = ask(daemon, "GET", "/metrics").body.decode()
    return {what: int(n) for what, n in
            re.findall(r'^cenote_http_faults_total\{what="(\w+)"\} (\d+)$', text, re.M)}


def is_closed(sock):
    """Has the server closed, and is all read?"""
    sock.setblocking(False)
    try:
        while sock.recv(1 << 20):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def wait_closed(sock, seconds=10):
    wait_until(lambda: is_closed(sock), seconds, "the connection being closed")
