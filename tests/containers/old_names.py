"""Calls each old method name on the published gRPC ports, and checks in Prometheus that it is counted under that name."""

import subprocess

# Path, compose service and encoded request.
CALLS = [
    ("dj.grpc.heartbeat.HeartBeatApi/BeatHeart", "edge", b"\x0a\x04time"),
    ("dj.grpc.revert_name.RevertApi/RevertName", "revert-name", b"\x0a\x03Ana"),
    ("dj.grpc.time.TimeProcedureApi/WhatTimeIs", "time", b""),
    ("BookController/ListBook", "bookstore", b"\x10\x88\x0e\x18\xba\x0e"),
    ("BookController/RetrieveBook", "bookstore", b"\x08\x01"),
    ("BookController/CreateBook", "bookstore", b"\x0a\x03Ada\x22\x17https://example.com/abc\x28\x01\x32\x05Notes"),
    ("python_to_rust_simple.PythonToRustSimpleService/increase", "counter", b"\x08\x29"),
    ("python_to_python_simple.Simple_python_python/increase", "counter", b"\x08\x29"),
    ("python_to_python_two_way_stream.Two_way_stream_python_to_python/increase", "counter", b"\x08\x29"),
]
COUNTED = ('sum by (grpc_service, grpc_method) (grpc_server_handled_total'
           '{grpc_service!~"vitalmesh[.].*|grpc[.].*",grpc_method!="unknown",grpc_code="OK"})')


def status(port, path, message):
    """The gRPC status of a call with one message; None without a status."""
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    words = ["curl", "-sS", "--noproxy", "*", "--max-time", "10", "--http2-prior-knowledge",
             "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-",
             "-D", "-", "-o", "/dev/null", f"http://127.0.0.1:{port}/{path}"]
    done = subprocess.run(words, input=frame, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith("grpc-status:"):
            return int(line.split(":")[1])
    return None


def check_old_names(mesh, until, check):
    for path, service, message in CALLS:
        port = mesh.ports[f"{service.upper().replace('-', '_')}_GRPC_PORT"]
        ended = status(port, path, message)
        check(f"{service}: {path} succeeds", ended == 0, f"grpc-status {ended}")

    def counted():
        found = mesh.query(COUNTED)
        return {f"{of['grpc_service']}/{of['grpc_method']}": value for of, value in found}

    wanted = {path: 1 for path, _, _ in CALLS}
    until(30, lambda: counted() == wanted)
    found = counted()
    check("and each call is counted once, under its own name", found == wanted, f"{found}")
