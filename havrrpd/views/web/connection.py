"""One client's connection: aiohttp's, with a limit on all that it can make the server wait for."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp.http import HttpProcessingError
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web import BaseRequest, RequestHandler, Server, StreamResponse

from havrrpd.views.web import answers
from havrrpd.views.web.door import Door
from havrrpd.views.web.limits import Refusal

LONGEST_TARGET = 4096  # bytes of a request's line
LONGEST_HEADER = 8190  # bytes of one header: cookies of other servers on the host come along
MOST_HEADERS = 64
LINGERING = 1.0  # seconds that a body which nobody wants is read for, so that the refusal arrives

log = structlog.get_logger()


class Connection(RequestHandler):
    """`ended` is done when the connection is."""

    def __init__(self, manager: Server, loop: asyncio.AbstractEventLoop, door: Door) -> None:
        super().__init__(
            manager,
            loop=loop,
            keepalive_timeout=door.limits.idle_timeout,
            max_line_size=LONGEST_TARGET,
            max_field_size=LONGEST_HEADER,
            max_headers=MOST_HEADERS,
            lingering_time=LINGERING,
            auto_decompress=False,
        )
        self.ended: asyncio.Future[None] = loop.create_future()
        self.door = door
        self._limits = door.limits
        self._socket: asyncio.Transport | None = None  # aiohttp forgets its own at a close
        self._late: asyncio.TimerHandle | None = None  # the request's headers are to be here
        self._stalled: asyncio.TimerHandle | None = None  # what was written is to be taken
        self._idle = False  # between two requests
        self._heard = False  # something of a request

    # --- the client is slow to ask ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._socket = cast(asyncio.Transport, transport)
        self._socket.set_write_buffer_limits(high=1, low=0)  # told of everything that waits
        self._await_request()

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp calls it with nothing too
            self._heard = True
            if self._idle:
                self._await_request()
        super().data_received(data)

    def request_is_here(self) -> None:
        """All its headers are; how long the answer takes is up to us."""
        self._idle = False
        self._cancel(self._late)

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        self.request_is_here()  # also when it was none
        try:
            async with asyncio.timeout(self._limits.write_timeout):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            self._abort()
            return resp, True
        finally:
            self._idle, self._heard = True, False

    def _await_request(self) -> None:
        self._idle = False
        self._late = self._loop.call_later(self._limits.request_timeout, self._is_late)

    def _is_late(self) -> None:
        if self.transport is None:  # closed already, and waits for the client to take the rest
            return
        self.door.refuse(Refusal.SLOW_REQUEST)
        if self._heard:
            self.transport.write(
                answers.raw_error(HTTPStatus.REQUEST_TIMEOUT, "the request took too long")
            )
        self.force_close()

    # --- the client is slow to read ---

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self._loop.call_later(self._limits.write_timeout, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel(self._stalled)

    async def _drain_helper(self) -> None:
        """aiohttp's, but for the traceback of its error, which leads to the future that holds it.

        In that circle the connection, its request and its answer would wait for a full garbage
        collection, each time a client goes before all is sent.
        """
        try:
            await super()._drain_helper()
        except ConnectionError as error:
            raise error.with_traceback(None) from error.__cause__

    def _abort(self) -> None:
        if self._socket is not None:
            self.door.refuse(Refusal.SLOW_READER)
            self._socket.abort()
            self._socket = None

    # --- the end ---

    def connection_lost(self, exc: BaseException | None) -> None:
        self._cancel(self._late)
        self._cancel(self._stalled)
        super().connection_lost(exc)
        self._socket = None
        if not self.ended.done():
            self.ended.set_result(None)

    # --- errors ---

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """What was no HTTP, or a bug of ours: the client learns which of them, and no more."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer is sent already")
        if isinstance(exc, HttpProcessingError):
            answer = self._refuse(exc)
        else:
            log.error("request.failed", path=request.path, exc_info=exc)
            answer = answers.error(500, "internal server error")
        answers.add_headers(answer)
        answer.force_close()
        return answer

    def _refuse(self, error: HttpProcessingError) -> StreamResponse:
        if isinstance(error, LineTooLong):
            self.door.refuse(Refusal.TOO_LARGE)
            is_target = error.args[1] == LONGEST_TARGET
            return answers.error(414, "URI too long") if is_target else _headers_too_large()
        if "Too many headers" in error.message:
            self.door.refuse(Refusal.TOO_LARGE)
            return _headers_too_large()
        self.door.refuse(Refusal.MALFORMED)
        return answers.error(400, "bad request")

    @staticmethod
    def _cancel(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()


def _headers_too_large() -> StreamResponse:
    return answers.error(431, "request header fields too large")
