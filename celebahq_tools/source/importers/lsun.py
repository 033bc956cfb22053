"""LSUN: an LMDB database of encoded images per category, cut to the middle square and reduced to 256x256."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from celebahq_tools.errors import ConfigError, InputError, RejectionError
from celebahq_tools.source.importers.base import EncodedSource, ImportRequest
from celebahq_tools.source.photo import MAX_BYTES

_SIDE = 256


class LsunSource(EncodedSource):
    """The values of an LMDB database in the order of its keys."""

    default_size = _SIDE

    def __init__(self, path: Path) -> None:
        try:
            import lmdb
        except ImportError:
            raise ConfigError("LSUN needs lmdb: pip install 'celebahq-tools[lsun]'") from None
        data = path / "data.mdb" if path.is_dir() else path
        if not data.is_file():
            raise InputError(f"{path}: holds no data.mdb; give the unpacked folder of one category")
        try:
            self._database = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            raise InputError(f"{path}: not a readable LMDB database ({error})") from None
        try:
            self._check_length(data)
            self._transaction: Any = self._database.begin(buffers=False)
            self._keys = [bytes(key) for key in self._transaction.cursor().iternext(keys=True, values=False)]
        except lmdb.Error as error:
            self._database.close()
            raise InputError(f"{path}: a damaged LMDB database ({error})") from None
        except BaseException:
            self._database.close()
            raise
        if not self._keys:
            self.close()
            raise InputError(f"{path}: the database is empty")

    def _check_length(self, data: Path) -> None:
        # The library maps the file to memory: reading past the end of a file cut short would kill the process.
        wanted = (self._database.info()["last_pgno"] + 1) * self._database.stat()["psize"]
        if data.stat().st_size < wanted:
            raise InputError(f"{data}: is cut short, {data.stat().st_size} of {wanted} bytes; download it again")

    def __len__(self) -> int:
        return len(self._keys)

    def name(self, index: int) -> str:
        """Return the key."""
        return self._keys[index].decode("utf-8", "backslashreplace")

    def read(self, index: int) -> bytes:
        """Return the encoded image; see :meth:`ImportSource.read`."""
        data = self._transaction.get(self._keys[index])
        if data is None or len(data) > MAX_BYTES:
            raise RejectionError("decode", "huge", f"{len(data or b'')} bytes, the limit is {MAX_BYTES}")
        return bytes(data)

    def close(self) -> None:
        """Close the database."""
        self._transaction.abort()
        self._database.close()


def open_lsun(request: ImportRequest) -> LsunSource:
    """Open one category of LSUN.

    Raises:
        InputError: If it is no LMDB database, empty, or cut short.
        ConfigError: If lmdb is not installed.
    """
    return LsunSource(request.path)
