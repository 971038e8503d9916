"""Object stores by URL (`s3://`, `gs://`, `az://`): what is there, and a line for what goes wrong.

obstore speaks to them and takes credentials, region and endpoint from the usual environment. It
tries again by itself after throttling, 5xx answers, broken connections and timeouts; what persists
is an error here, and only an object that is really not there is `FileNotFoundError`.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import RemoteError, UnreachableError, UsageError, one_line

PARALLEL = 16
"""Requests at once, where many objects are read or written."""
RETRY: dict[str, Any] = {
    "max_retries": 15,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=15),
        "base": 4,
    },
}
"""Pauses are drawn between the first and `base` times the one before: two minutes in all, about."""
KEYS = {
    "s3": "AWS_ACCESS_KEY_ID",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_KEY",
}
TRIES = 3
"""For answers that break off, where obstore does not try again: those of listings and of 404."""
TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "5min"}
"""To connect, between two pieces of an answer, and of a whole request (an object may be large)."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
AGAIN = "run the same command again, what is there stays"
SIGNS = (
    # In this order: what is in the answer, why nothing can be done, what to do.
    (r"NoSuchBucket|ContainerNotFound", "there is no such bucket", "make it, or mend the URL"),
    (
        r"redirect without LOCATION|PermanentRedirect|AuthorizationHeaderMalformed",
        "the bucket is in another region",
        "set AWS_REGION to that of the bucket",
    ),
    (r"ExpiredToken|TokenRefreshRequired", "the credentials have expired", "renew them"),
    (r"RequestTimeTooSkewed", "this machine's clock is wrong", "set it"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|status code: 401",
        "the credentials are not accepted",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or those of your cloud)",
    ),
    (
        r"status code: 403",
        "access is denied (403)",
        "allow these credentials to list, read and write there (s3:ListBucket, s3:GetObject, "
        "s3:PutObject); nothing says that it is damaged",
    ),
    (r"status code: (503|429)", "it asks for fewer requests (throttling)", AGAIN),
    (r"status code: 5\d\d", "the server fails", AGAIN),
)
NONE = (
    (
        r"169\.254\.|metadata\.google|latest/api/token|latest/meta-data",
        "no credentials were found",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, or "
        "AZURE_STORAGE_ACCOUNT_KEY",
    ),
)
HALF = ((r"body error", "the answer broke off", AGAIN),)
BROKEN = (
    # The connection itself; an offline start may go without.
    (
        r"dns error",
        "its host is not found",
        f"check AWS_ENDPOINT_URL and the network, then {AGAIN}",
    ),
    (
        r"ConnectionRefused",
        "nothing answers there (connection refused)",
        f"check AWS_ENDPOINT_URL and the network, then {AGAIN}",
    ),
    (r"TimedOut|timed out|kind: Timeout", "there was no answer in time", AGAIN),
    (r"HTTP error", "the connection was broken", AGAIN),
)
T = TypeVar("T")


class HalfError(UnreachableError):
    """An answer broke off."""


class NoCredentialsError(RemoteError):
    """None are in the environment, and the machine has no role."""


class Found(NamedTuple):
    """An object in a listing."""

    name: str
    size: int
    """Bytes."""
    version: str
    """Changes with its content: entity tag and time."""


class Remote:
    """What lies below a URL: objects by name, each read and written whole or not at all."""

    def __init__(self, url: str, retries: int | None = None):
        """Nothing is asked of the server yet, unless it is for a role in place of credentials.

        Raises:
            UsageError: obstore is not installed, or the URL makes no sense.
            RemoteError: there are no credentials.
        """
        try:
            import obstore
            from obstore.store import from_url
        except ImportError as error:
            fix = "pip install 'pointstill[cloud]'"
            raise UsageError("needs obstore", where=url, fix=fix) from error
        self.url, self._obs = url.rstrip("/"), obstore
        insecure = any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS)
        options: dict[str, Any] = {**TIMEOUTS, "allow_http": insecure}
        try:
            patience = RETRY if retries is None else RETRY | {"max_retries": retries}
            self.store: Any = from_url(self.url, client_options=options, retry_config=patience)  # type: ignore[call-overload]
        except (obstore.exceptions.BaseError, ValueError) as error:
            raise UsageError(
                f"cannot be opened ({_first_line(error)})", where=url, fix="mend the URL"
            ) from error
        if retries != 0 and KEYS[url.partition("://")[0]] not in os.environ:
            # Where no machine's role is to be had, that is found out without patience.
            try:
                Remote(url, retries=0).empty()
            except NoCredentialsError:
                raise
            except RemoteError:
                pass  # whoever asks will say it, or it has passed by then

    def read(self, name: str) -> bytes:
        """The content of an object.

        Raises:
            FileNotFoundError: it is not there.
            RemoteError: it cannot be said whether it is there.
        """

        def ask() -> bytes:
            with told(f"{self.url}/{name}"):
                return bytes(self._obs.get(self.store, name).bytes())

        return again(ask)

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        try:
            self.read(name)  # not HEAD, whose answer cannot tell that the bucket is missing
        except FileNotFoundError:
            return False
        return True

    def write(self, name: str, content: bytes, *, new: bool = False) -> bool:
        """Put an object; with `new`, only where none is. Returns whether it was put."""
        with told(f"{self.url}/{name}"):
            try:
                how: dict[str, Any] = {"mode": "create", "use_multipart": False} if new else {}
                self._obs.put(self.store, name, content, **how)
            except self._obs.exceptions.AlreadyExistsError:
                return False
        return True

    def list(self, below: str | None = None) -> list[Found]:
        """All objects, or those below a name, by name."""

        def ask() -> Any:
            with told(self.url):
                return self._obs.list(self.store, below).collect()

        return sorted(
            Found(each["path"], each["size"], f"{each['e_tag']} {each['last_modified']}")
            for each in again(ask)
        )

    def empty(self) -> bool:
        """Whether nothing is there; asks for one page at most."""

        def ask() -> bool:
            with told(self.url):
                return not next(iter(self._obs.list(self.store, chunk_size=1)), None)

        return again(ask)

    def fetch(self, found: Found, file: Path) -> None:
        """Write an object to a file, and wait until it is on the disk.

        Raises:
            RemoteError: it is another by now, or cannot be had.
        """
        where = f"{self.url}/{found.name}"
        with file.open("wb") as to, told(where):
            answer = self._obs.get(self.store, found.name)
            meta = answer.meta
            if f"{meta['e_tag']} {meta['last_modified']}" != found.version:
                raise RemoteError("changes while it is read", where=where, fix="run again")
            for piece in answer.stream():
                to.write(piece)
            to.flush()
            os.fsync(to.fileno())
        if file.stat().st_size != found.size:
            raise RemoteError("came in half", where=where, fix="run again")


def again(ask: Callable[[], T]) -> T:
    """Ask again where the answer breaks off."""
    for _ in range(TRIES - 1):
        try:
            return ask()
        except HalfError:
            pass
    return ask()


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turn what obstore raises into one line about a URL.

    Raises:
        FileNotFoundError: the object is not there, and the bucket is.
        RemoteError: anything else.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if re.search(SIGNS[0][0], str(error)):
            raise _explained(url, error) from error
        raise FileNotFoundError(2, os.strerror(2), url) from error
    except BaseError as error:
        raise _explained(url, error) from error


def _explained(url: str, error: Exception) -> RemoteError:
    text = str(error)  # its first line, then what lies behind it
    tries = re.search(r"after (\d+) retries", text)
    after = f" after {int(tries[1]) + 1} tries" if tries else ""
    for kind, signs in KINDS.items():
        for sign, why, fix in signs:
            if re.search(sign, text):
                return kind(f"cannot be used, as {why}{after}", where=url, fix=fix)
    return RemoteError(f"cannot be used ({_first_line(error)})", where=url, fix=AGAIN)


KINDS: dict[type[RemoteError], tuple[tuple[str, str, str], ...]] = {
    NoCredentialsError: NONE,  # first, as its text may also tell of a 403 or a broken connection
    RemoteError: SIGNS,
    HalfError: HALF,
    UnreachableError: BROKEN,
}


def _first_line(error: Exception) -> str:
    return one_line(error).partition("Debug source")[0].strip()
