"""Which stream a body of HTTP goes through, by what its fields say; what can't be read is refused.

Content encodings (gzip, br, deflate) are taken off before. A body that still has one, or whose
charset ASCII does not read as ASCII, can't be searched.
"""

from __future__ import annotations

import re
from typing import Final

from masking.errors import MaskingFailed
from masking.scanning import StreamFinder
from masking.streams.bounds import Bounds
from masking.streams.decoding import charset
from masking.streams.searching import Wanted, everything
from masking.streams.stream import Stream, table_stream, text_stream

_LIKE_ASCII: Final = re.compile(
    r"|utf-?8|us-ascii|ascii|iso-8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|koi8-[ru]"
    r"|utf-16(?:le|be)?|gb2312|gbk|euc-(?:jp|kr)|shift_jis|big5"
)
"""Charsets in which ASCII characters are their bytes, and UTF-16."""

_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)
_OPAQUE: Final = re.compile(
    r"(?:image|audio|video|font)/|application/(?:octet-stream|zip|gzip|x-(?:tar|gzip|7z-compressed|"
    r"bzip2|xz)|zstd|pdf|grpc|protobuf|x-protobuf|vnd\.kubernetes\.protobuf|msgpack|cbor|wasm)"
)


class Unsearchable(MaskingFailed):
    """Nobody can look into this body, so it is refused; the text says which of its fields why."""


def body_stream(
    finder: StreamFinder,
    *,
    content_type: str,
    content_encoding: str = "",
    wanted: Wanted = everything,
    bounds: Bounds | None = None,
) -> Stream:
    """The stream for a body whose content encodings were taken off, all but `content_encoding`.

    Raises `Unsearchable` for one that is left, a charset that is not known, and types that are no
    text: whether those may pass unsearched is policy's to say, not masking's.
    """
    encoding = content_encoding.strip().lower()
    if encoding not in ("", "identity"):
        raise Unsearchable(f"a body with content encoding {encoding[:40]!r} can't be searched")
    media = content_type.split(";", 1)[0].strip().lower()
    if _OPAQUE.match(media):
        raise Unsearchable(f"a body of type {media[:80]!r} is no text")
    said = _CHARSET.search(content_type)
    name = said[1].lower() if said else ""
    if not _LIKE_ASCII.fullmatch(name):
        raise Unsearchable(f"a body in charset {name[:40]!r} can't be searched")
    if media == "text/csv":
        return table_stream(finder, wanted=wanted, bounds=bounds)
    return text_stream(finder, wanted=wanted, bounds=bounds, charset=charset(name))
