"""What a process reads of the headers of those who call it."""

import subprocess
import sys


def test_of_a_client_s_headers_only_the_trace_is_read() -> None:
    """Reading baggage takes time that grows with the square of its length, whoever sent it."""
    code = (
        "from opentelemetry import propagate\n"
        "from mesh.settings import Common\n"
        "from mesh.telemetry import configure\n"
        "configure('test', Common())\n"
        "print(*sorted(propagate.get_global_textmap().fields))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["traceparent", "tracestate"]
