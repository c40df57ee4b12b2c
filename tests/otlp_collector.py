"""An OpenTelemetry collector (OTLP over HTTP, protobuf): appends each span to a file, a line.

Run as a process: `otlp_collector.py FILE`. It prints its port. While FILE.refuse exists it answers
503, as a collector does that is overloaded.
"""

from __future__ import annotations

import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Handler(BaseHTTPRequestHandler):
    file: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        refuse = self.file.with_name(f"{self.file.name}.refuse").exists()
        if refuse or self.path != "/v1/traces":
            self.send_response(503 if refuse else 404)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        request = ExportTraceServiceRequest.FromString(body)
        with self.file.open("a") as out:
            for resource in request.resource_spans:
                about = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        told = {
                            "trace": span.trace_id.hex(),
                            "id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "name": span.name,
                            "start": span.start_time_unix_nano,
                            "end": span.end_time_unix_nano,
                            "failed": span.status.code == 2,
                            "attributes": {
                                one.key: one.value.string_value
                                or one.value.int_value
                                or one.value.double_value
                                for one in span.attributes
                            },
                            "resource": about,
                        }
                        out.write(json.dumps(told) + "\n")
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    Handler.file = Path(sys.argv[1])
    Handler.file.touch()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201 - the test reads it
        server.serve_forever()


if __name__ == "__main__":
    main()
