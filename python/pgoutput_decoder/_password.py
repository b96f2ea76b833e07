"""Asks for a password in the event loop, without blocking it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

__all__ = ["ask"]


async def ask(password: Callable[[], str | Awaitable[str]]) -> str:
    """What `password` returns, or what comes of the awaitable it returns.

    A coroutine function runs in the event loop, any other callable in a thread.
    """
    is_coroutine = inspect.iscoroutinefunction(password)
    answer = password() if is_coroutine else await asyncio.to_thread(password)
    if inspect.isawaitable(answer):
        answer = await answer
    if not isinstance(answer, str):
        message = f"password: expected a str, not {type(answer).__name__}"
        raise TypeError(message)
    return answer
