# SPDX-License-Identifier: MIT
"""S3 servers on loopback with one bucket: Bucket, which looks closely at what
it is asked (it checks each signature anew), and S3rver, which is others' work
(npm's s3rver; ROOKERY_S3RVER says where its program is)."""

import hashlib
import hmac
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse

NAME = "files"
ACCESS, SECRET = "S3RVER", "S3RVER"
REGION = "eu-test-1"


class Refused(Exception):
    """With a status and a code."""


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def check(method, target, headers, now):
    """What AWS says of Signature Version 4 in queries."""
    path, _, query = target.partition("?")
    pairs = [tuple(part.partition("=")[::2]) for part in query.split("&")]
    said = {name: urllib.parse.unquote(value) for name, value in pairs}
    if said.get("X-Amz-Algorithm") != "AWS4-HMAC-SHA256":
        raise Refused(403, "AccessDenied")
    signed = "&".join(f"{n}={v}" for n, v in sorted(
        p for p in pairs if p[0] != "X-Amz-Signature"))
    access, day, region, service, end = said["X-Amz-Credential"].split("/")
    stamp, names = said["X-Amz-Date"], said["X-Amz-SignedHeaders"]
    if (access, day, region, service, end) != (
            ACCESS, stamp[:8], REGION, "s3", "aws4_request"):
        raise Refused(403, "InvalidAccessKeyId")
    if "host" not in names.split(";"):
        raise Refused(403, "AccessDenied")
    lines = "".join(f"{n}:{(headers[n] or '').strip()}\n"
                    for n in names.split(";"))
    canonical = "\n".join(
        [method, path, signed, lines, names, "UNSIGNED-PAYLOAD"])
    scope = "/".join((day, region, service, end))
    text = "\n".join(("AWS4-HMAC-SHA256", stamp, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + SECRET).encode()
    for part in (day, region, service, end):
        key = mac(key, part)
    if mac(key, text).hex() != said["X-Amz-Signature"]:
        raise Refused(403, "SignatureDoesNotMatch")
    begin = time.mktime(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.timezone
    if not begin - 60 <= now <= begin + int(said["X-Amz-Expires"]):
        raise Refused(403, "AccessDenied")
    if int(said["X-Amz-Expires"]) > 604800:
        raise Refused(400, "AuthorizationQueryParametersError")
    return said


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Nobody wants to know."""

    def key(self):
        """Of the path, or the bucket's name in that of the host."""
        path = urllib.parse.unquote(self.path.partition("?")[0])
        if self.headers["host"].startswith(NAME + "."):
            return path[1:]
        name, _, key = path[1:].partition("/")
        if name != NAME:
            raise Refused(404, "NoSuchBucket")
        return key

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if self.command != "HEAD" or not self.server.bucket.is_vague:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_it(self):
        bucket = self.server.bucket
        if bucket.is_closed:
            self.close_connection = True
            return
        bucket.asked.append((self.command, self.path, dict(self.headers)))
        bucket.gate.wait(30)
        try:
            if bucket.trouble:
                raise Refused(bucket.trouble, "SlowDown")
            said = check(self.command, self.path, self.headers, time.time())
            getattr(self, "on_" + self.command.lower())(
                bucket, self.key(), said)
        except Refused as why:
            status, code = why.args
            self.close_connection = True
            self.say(status, f"<Error><Code>{code}</Code></Error>".encode(),
                     Connection="close")

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_it

    def on_put(self, bucket, key, _said):
        length = int(self.headers["content-length"])
        kind = self.headers["content-type"]
        whole = bytearray()
        while len(whole) < length:
            piece = self.rfile.read(min(1 << 16, length - len(whole)))
            if not piece:
                self.close_connection = True
                return
            whole += piece
        bucket.objects[key] = (bytes(whole), kind)
        self.say(200)

    def on_get(self, bucket, key, said):
        if key not in bucket.objects:
            raise Refused(404, "NoSuchKey")
        body, kind = bucket.objects[key]
        headers = {"Content-Type": kind or "binary/octet-stream"}
        headers.update({name[9:].title(): value for name, value in said.items()
                        if name.startswith("response-")})
        status = 200
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"] or "")
        if part:
            first, last = int(part[1]), int(part[2])
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            status, body = 206, body[first:last + 1]
        self.say(status, body, **headers)

    on_head = on_get

    def on_delete(self, bucket, key, _said):
        bucket.objects.pop(key, None)
        self.say(204)


class Bucket:
    """`asked` has what came; `trouble`, if set, is what all is answered by;
    nothing is while the `gate` is shut; `is_vague`: HEAD tells no length."""
    is_strict = True

    def __init__(self):
        self.objects, self.asked, self.trouble = {}, [], 0
        self.is_closed = self.is_vague = False
        self.gate = threading.Event()
        self.gate.set()
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.bucket = self
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       daemon=True)
        self.thread.start()

    def count(self):
        return len(self.objects)

    def close(self):
        self.is_closed = True
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class S3rver:
    """The same, as far as it can be seen from outside."""
    is_strict = False

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="rookery-s3-")
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["node", os.environ["ROOKERY_S3RVER"], "-d", self.folder, "-p", "0",
             "-a", "127.0.0.1", "--silent", "--no-vhost-buckets",
             "--configure-bucket", NAME],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            found = re.search(r"listening on .*:(\d+)", line)
            if found:
                self.port = int(found[1])
                return
        raise RuntimeError("s3rver does not start")

    def count(self):
        return sum(name.endswith("._S3rver_object") for _, _, names in
                   os.walk(self.folder) for name in names)

    def close(self):
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.folder)


def start():
    return S3rver() if os.environ.get("ROOKERY_S3RVER") else Bucket()
