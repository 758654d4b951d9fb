from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from sharpen.errors import ConfigError
from sharpen.gateway.run import serve
from sharpen.store import Store
from sharpen.testing import ScriptedEngine, deploy
from tests.gateway.conftest import settings
from tests.gateway.test_run import free_port


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    also = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *words.split(), *also], check=True, capture_output=True, timeout=60)
    return {"tls_certificate": str(certificate), "tls_key": str(key)}


def test_with_a_certificate_it_answers_by_https_alone(tmp_path: Path, files: dict[str, Any]) -> None:
    config = settings(tmp_path, gateway=files | {"port": free_port()})
    store = Store.open(config.store_url)
    deploy(store, ScriptedEngine(), "ver_0")
    store.close()
    told: list[str] = []
    ready = threading.Event()

    def announce(line: str) -> None:
        told.append(line)
        ready.set()

    arguments = {"engine": ScriptedEngine(), "announce": announce}
    threading.Thread(target=serve, args=(config,), kwargs=arguments, daemon=True).start()
    assert ready.wait(30)
    assert told == [f"sharpen answers at https://127.0.0.1:{config.gateway.port}/v1"]
    with httpx.Client(verify=files["tls_certificate"], trust_env=False) as client:
        assert client.get(f"https://127.0.0.1:{config.gateway.port}/healthz").status_code == 200
        with pytest.raises(httpx.TransportError):
            client.get(f"http://127.0.0.1:{config.gateway.port}/healthz")


@pytest.mark.parametrize("spoil", ["no key", "not there", "no PEM", "another key"])
def test_a_certificate_that_does_not_fit_is_found_before_the_model_is_loaded(
    tmp_path: Path, files: dict[str, Any], spoil: str
) -> None:
    if spoil == "no key":
        files["tls_key"] = ""
    elif spoil == "not there":
        files["tls_key"] = str(tmp_path / "nowhere.pem")
    elif spoil == "no PEM":
        Path(files["tls_certificate"]).write_text("not a certificate")
    else:
        words = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", files["tls_key"]]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    with pytest.raises(ConfigError, match="certificate") as caught:
        serve(settings(tmp_path, gateway=files | {"port": free_port()}), engine=ScriptedEngine())
    assert "tls_key" in caught.value.next_step
