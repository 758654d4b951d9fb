"""How questions are answered: the model, the gateway, which version, what is kept of an exchange.

In: plain values. Out: typed sections. Must not know files, or what a stage does with its section.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sharpen.config.section import Section


class ModelsSection(Section):
    """How the in-process engine runs."""

    engine: Literal["transformers", "llamacpp"] = Field(
        default="transformers",
        description="what runs the model: transformers in full precision, or llama.cpp with a GGUF base as it is",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads for the model; 0 takes every core")
    max_rows: int = Field(default=32, ge=1, le=1024, description="sequences decoded together")
    max_context_tokens: int = Field(default=2048, ge=16, description="longest prompt plus reply")


class GatewaySection(Section):
    """The HTTP face."""

    host: str = Field(default="127.0.0.1", description="address to listen on; any but loopback needs a key")
    port: int = Field(default=8377, ge=1, le=65535, description="port to listen on")
    api_key_env: str = Field(default="SHARPEN_API_KEY", description="environment variable that holds the key")
    tls_certificate: str = Field(
        default="", description="file of the certificate chain (PEM): the gateway answers by HTTPS alone; empty: HTTP"
    )
    tls_key: str = Field(default="", description="file of the certificate's private key (PEM)")
    max_body_bytes: int = Field(default=1_000_000, ge=1024, description="longest request body")
    max_reply_tokens: int = Field(default=1024, ge=1, description="most tokens a client may ask for")
    max_waiting: int = Field(default=256, ge=1, description="requests waiting for the model before new ones get 429")


class ServingSection(Section):
    """Which version answers."""

    poll_s: float = Field(default=0.5, gt=0, description="seconds between looks at the store for a new champion")


class CaptureSection(Section):
    """What is kept of an exchange."""

    traces: bool = Field(default=True, description="record exchanges; feedback needs them")
    redact_secrets: bool = Field(
        default=True, description="take keys, tokens and passwords out of what is kept, before it is written"
    )
    redact_personal: bool = Field(
        default=False,
        description="also e-mail addresses, phone, card, account and SS numbers; a long number may look like one",
    )
