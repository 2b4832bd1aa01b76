"""An API that is not there, for commands that write to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from tocsin.cli.client import Answer, ApiClient


class Request(NamedTuple):
    """What a command sends."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str] | None


class ApiDouble(ApiClient, ABC):
    """`answer` says what comes of a request; those that write are `written`, in order, also if they are refused."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", None)
        self.written: list[Request] = []

    @abstractmethod
    def answer(self, method: str, path: str, body: Any) -> Answer:
        """The answer, or the failure."""

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """See ApiClient."""
        if method != "GET":
            self.written.append(Request(method, path, body, headers))
        return self.answer(method, path, body)
