"""Which judge the configuration names.

In: `[evaluation] judge`. Out: `Judge`. Must not know what it is asked.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from sharpen.errors import ConfigError
from sharpen.models.engine import Engine
from sharpen.plugins import part
from sharpen.verify.judge import Judge

KEY_ENV = "SHARPEN_JUDGE_API_KEY"
TIMEOUT_S = 120.0  # chosen: a busy server's queue, and no more
MAX_NEW_TOKENS = 256  # chosen: a brief thought and the verdict
_FORMS = 'judge = "engine", "openai:http://host/v1#model" or "module:attr"'


def open_judge(spec: str, rubric: str, *, own: Callable[[], tuple[Engine, str]]) -> Judge:
    """Return the judge that `spec` names: "engine" is `own`, an engine and the version to ask.

    "openai:URL#MODEL" is a server that speaks OpenAI's protocol, its key in SHARPEN_JUDGE_API_KEY; "module:attr" is a
    LangChain chat model, or what makes one. Raises: ConfigError; MissingExtra.
    """
    where = f"[evaluation] judge = '{spec}'"
    if spec == "engine":
        from sharpen.models.chat import EngineChatModel

        engine, version_id = own()
        chat = EngineChatModel(engine=engine, version_id=version_id, max_new_tokens=MAX_NEW_TOKENS)
        return Judge(chat, version_id, rubric, at_once=1)
    if spec.startswith("openai:"):
        address, _, name = spec.removeprefix("openai:").partition("#")
        if not (address.startswith(("http://", "https://")) and name):
            raise ConfigError(f"{where} needs an address and a model.", _FORMS)
        make = part("langchain_openai").ChatOpenAI
        key = os.environ.get(KEY_ENV, "none")
        return Judge(make(model=name, base_url=address, api_key=key, temperature=0, timeout=TIMEOUT_S), spec, rubric)
    module, colon, attribute = spec.partition(":")
    if not colon:
        raise ConfigError(f"{where} names nobody." if spec else "[evaluation] judge is not set.", _FORMS)
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
        model = found if hasattr(found, "batch") and not isinstance(found, type) else found()
    except Exception as error:  # the module is the user's own, and may fail in its own way
        raise ConfigError(f"{where} cannot be had: {type(error).__name__}: {error}", "check module and name") from error
    if not hasattr(model, "batch"):
        raise ConfigError(f"{where}: {type(model).__name__} is no LangChain chat model.", "give one that has `batch`")
    exact = getattr(model, "model_name", None) or getattr(model, "model", None)
    return Judge(model, f"{spec}#{exact}" if isinstance(exact, str) else spec, rubric)
