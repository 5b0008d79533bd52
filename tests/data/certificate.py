"""A certificate for 127.0.0.1 that nobody vouches for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

HAS_OPENSSL = shutil.which("openssl") is not None


def server_context(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS; ``certificate.pem`` in the folder is what a client would have to trust."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    words = f"openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -keyout {key}"
    words += f" -out {certificate} -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(words.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
