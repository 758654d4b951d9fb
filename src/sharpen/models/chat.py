"""An engine as a LangChain chat model, so that any LangChain or LangGraph part can talk to it.

In: LangChain messages. Out: a LangChain result. Must not know which graph asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import ConfigDict, Field

from sharpen.errors import EngineError
from sharpen.models.engine import Engine, Generation, Job, Request
from sharpen.records import Message

_ROLES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool"}


class EngineChatModel(BaseChatModel):
    """One version of an engine's model. Calls must come from one thread at a time, as the engine's do."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: Any = Field(exclude=True)
    version_id: str
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0

    @property
    def _llm_type(self) -> str:
        return "sharpen-engine"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"version_id": self.version_id, "temperature": self.temperature, "seed": self.seed}

    def _request(self, messages: Sequence[BaseMessage], stop: list[str] | None) -> Request:
        turns = []
        for message in messages:
            role = _ROLES.get(message.type)
            if role is None:
                raise EngineError(f"A message of type '{message.type}' has no place in a chat template.")
            turns.append(Message(role=role, content=message.text))
        return Request(turns, self.max_new_tokens, self.temperature, seed=self.seed, stop=tuple(stop or ()))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        engine: Engine = self.engine
        [generation] = engine.generate([self._request(messages, stop)], self.version_id)
        return ChatResult(generations=[ChatGeneration(message=_reply(generation))])

    def batch_messages(self, conversations: Sequence[Sequence[BaseMessage]]) -> list[AIMessage]:
        """Answer many conversations in one batch; LangChain's own `batch` would ask one by one."""
        requests = [self._request(conversation, None) for conversation in conversations]
        return [_reply(generation) for generation in self.engine.generate(requests, self.version_id)]

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        engine: Engine = self.engine
        pieces: deque[str] = deque()
        job = Job(self._request(messages, stop), self.version_id, on_text=pieces.append)
        engine.start(job)
        try:
            while pieces or not job.done:
                while not (pieces or job.done):
                    engine.step()
                if pieces:
                    chunk = ChatGenerationChunk(message=AIMessageChunk(content=pieces.popleft()))
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        finally:  # whoever reads may stop in the middle
            engine.cancel(job)
        last = _reply(job.result)
        last.content = ""
        yield ChatGenerationChunk(message=AIMessageChunk(**last.model_dump(exclude={"type"}), chunk_position="last"))


def _reply(generation: Generation | None) -> AIMessage:
    if generation is None:
        raise EngineError("The model gave no answer.")
    if generation.error:
        raise EngineError(f"The model gave no answer: {generation.error}")
    read, written = generation.prompt_tokens, generation.completion_tokens
    return AIMessage(
        content=generation.text,
        response_metadata={"finish_reason": generation.finish_reason},
        usage_metadata={"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
    )
