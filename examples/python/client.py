"""Calls a running mesh: each kind of gRPC call, metadata, deadlines, errors, and REST.

Needs the stubs that README.md generates. Without flags it calls `mesh up` on this machine.
"""

import argparse
import itertools
import json
import urllib.request

import grpc

from vitalmesh.bookstore.v1 import bookstore_pb2, bookstore_pb2_grpc
from vitalmesh.counter.v1 import counter_pb2, counter_pb2_grpc
from vitalmesh.revert_name.v1 import revert_name_pb2, revert_name_pb2_grpc

# In seconds. A call without a timeout waits for the server's own limit (30 s, streams 1 h).
TIMEOUT = 2

# Methods that are safe to retry, and how: only if no response came, at most twice, within the
# timeout of the call, which covers all attempts.
RETRIES = {
    "methodConfig": [{
        "name": [
            {"service": "vitalmesh.revert_name.v1.RevertNameService"},
            {"service": "vitalmesh.bookstore.v1.BookstoreService", "method": "RetrieveBook"},
        ],
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        },
    }],
}


def connect(address, retries):
    """A thread-safe channel that connects on the first call and reconnects after a break. Keep one per service."""
    options = [("grpc.service_config", json.dumps(RETRIES))] if retries else [("grpc.enable_retries", 0)]
    return grpc.insecure_channel(address, options=options)


def unary(names):
    """One request, one response, with metadata. A key that ends in -bin has bytes as its value."""
    metadata = [
        ("x-request-id", "python-1"),
        ("x-payload-bin", b"\x00\xff"),
        # Continues in the logs and calls of every service behind this one.
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ]
    request = revert_name_pb2.RevertNameRequest(name="Ana")
    response = names.RevertName(request, timeout=TIMEOUT, metadata=metadata)
    print(f"unary: {response.name}")


def errors(names):
    """A call fails with a status: the code is for programs, the details are for people."""
    try:
        names.RevertName(revert_name_pb2.RevertNameRequest(name="not_found"), timeout=TIMEOUT)
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}")
    try:
        names.RevertName(revert_name_pb2.RevertNameRequest(name="Ana", delay=10), timeout=0.2)
    except grpc.RpcError as error:
        print(f"deadline: {error.code().name}")


def server_stream(books):
    """One request, many responses: read them in a loop, and cancel the stream when you have enough."""
    request = bookstore_pb2.ListBooksRequest(start=1800, end=1850)
    for book in books.ListBooks(request, timeout=TIMEOUT):
        print(f"server stream: {book.year} {book.title}")
    request = bookstore_pb2.RecommendBooksRequest(user_id=1, max_results=10_000_000)
    recommendations = books.RecommendBooks(request, timeout=60)
    first = list(itertools.islice(recommendations, 3))
    recommendations.cancel()
    print(f"cancelled after: {[recommendation.id for recommendation in first]}")


def create(books):
    """A book is on disk once the response arrives. This call is not safe to retry: see RETRIES."""
    request = bookstore_pb2.CreateBookRequest(
        author="Ada Lovelace", title="Notes", link="https://example.com/notes", pages=66, year=1843,
    )
    book = books.CreateBook(request, timeout=TIMEOUT)
    again = books.RetrieveBook(bookstore_pb2.RetrieveBookRequest(book_id=book.book_id), timeout=TIMEOUT)
    print(f"stored: {again.title} by {again.author}")


def client_stream(counter):
    """Many requests, one response: pass an iterator."""
    numbers = (counter_pb2.SumRequest(num=number) for number in range(1, 101))
    response = counter.Sum(numbers, timeout=TIMEOUT)
    print(f"client stream: {response.total} from {response.count}")


def two_way_stream(counter):
    """Many requests and many responses at the same time. A response has the id of its request. If the request
    failed, it has a failure instead of a number, and the stream continues."""
    numbers = {request_id: number for request_id, number in enumerate([41, 2**31 - 1, 7], start=1)}
    requests = (
        counter_pb2.IncreaseStreamRequest(num=number, request_id=request_id) for request_id, number in numbers.items()
    )
    for response in counter.IncreaseStream(requests, timeout=TIMEOUT):
        number = numbers[response.request_id]
        result = grpc_code(response.failure.code) if response.HasField("failure") else response.num
        print(f"two-way stream: {number} -> {result}")


def grpc_code(number):
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def rest(edge, bookstore):
    """The same over HTTP: JSON, and a stream with one JSON value per line."""
    with urllib.request.urlopen(f"http://{edge}/proxy/Ana", timeout=TIMEOUT) as response:
        print(f"rest: {json.load(response)['reversed_name']}")
    with urllib.request.urlopen(f"http://{bookstore}/3", timeout=TIMEOUT) as lines:
        for line in lines:
            print(f"rest stream: {json.loads(line)['id']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--revert-name", default="127.0.0.1:50052")
    parser.add_argument("--bookstore", default="127.0.0.1:50054")
    parser.add_argument("--counter", default="127.0.0.1:50055")
    parser.add_argument("--edge-http", default="127.0.0.1:8012")
    parser.add_argument("--bookstore-http", default="127.0.0.1:3333")
    parser.add_argument("--retries", action="store_true", help="retry calls that are safe to retry")
    flags = parser.parse_args()
    with (
        connect(flags.revert_name, flags.retries) as names,
        connect(flags.bookstore, flags.retries) as books,
        connect(flags.counter, flags.retries) as counter,
    ):
        names = revert_name_pb2_grpc.RevertNameServiceStub(names)
        books = bookstore_pb2_grpc.BookstoreServiceStub(books)
        counter = counter_pb2_grpc.CounterServiceStub(counter)
        unary(names)
        errors(names)
        server_stream(books)
        create(books)
        client_stream(counter)
        two_way_stream(counter)
    rest(flags.edge_http, flags.bookstore_http)


if __name__ == "__main__":
    main()
