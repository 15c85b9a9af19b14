"""The content types of common files, by suffix. Unlike those of ``mimetypes``, they are the same on every machine."""

from __future__ import annotations

from functools import cache
from mimetypes import MimeTypes
from pathlib import PurePosixPath

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
_TYPES = {
    # A compressed file has the type of its compression: report.csv.gz is not text.
    ".7z": "application/x-7z-compressed",
    ".br": "application/x-brotli",
    ".bz2 .tbz .tbz2": "application/x-bzip2",
    ".gz .svgz .tgz": "application/gzip",
    ".lz4": "application/x-lz4",
    ".rar": "application/vnd.rar",
    ".xz .txz": "application/x-xz",
    ".z .taz": "application/x-compress",
    ".zst .tzst": "application/zstd",
    # Documents.
    ".docm": "application/vnd.ms-word.document.macroenabled.12",
    ".docx": f"{_OFFICE}wordprocessingml.document",
    ".dotx": f"{_OFFICE}wordprocessingml.template",
    ".dwg": "image/vnd.dwg",
    ".dxf": "image/vnd.dxf",
    ".epub": "application/epub+zip",
    ".ics": "text/calendar",
    ".ini .log .text": "text/plain",
    ".key": "application/vnd.apple.keynote",
    ".kml": "application/vnd.google-earth.kml+xml",
    ".md .markdown": "text/markdown",
    ".mpp": "application/vnd.ms-project",
    ".msg": "application/vnd.ms-outlook",
    ".numbers": "application/vnd.apple.numbers",
    ".odg": f"{_OPEN}graphics",
    ".odp": f"{_OPEN}presentation",
    ".ods": f"{_OPEN}spreadsheet",
    ".odt": f"{_OPEN}text",
    ".one": "application/onenote",
    ".p7m": "application/pkcs7-mime",
    ".p7s": "application/pkcs7-signature",
    ".pages": "application/vnd.apple.pages",
    ".pcap": "application/vnd.tcpdump.pcap",
    ".ppsx": f"{_OFFICE}presentationml.slideshow",
    ".pptx": f"{_OFFICE}presentationml.presentation",
    ".rtf": "application/rtf",
    ".sql": "application/sql",
    ".toml": "application/toml",
    ".vcf": "text/vcard",
    ".vsd": "application/vnd.visio",
    ".vsdx": "application/vnd.ms-visio.drawing",
    ".xlt": "application/vnd.ms-excel",
    ".xlsb": "application/vnd.ms-excel.sheet.binary.macroenabled.12",
    ".xlsm": "application/vnd.ms-excel.sheet.macroenabled.12",
    ".xlsx": f"{_OFFICE}spreadsheetml.sheet",
    ".xltx": f"{_OFFICE}spreadsheetml.template",
    ".xml": "application/xml",
    ".yaml .yml": "application/yaml",
    # Pictures, sound, films and programs.
    ".3gp": "video/3gpp",
    ".amr": "audio/amr",
    ".apng": "image/apng",
    ".flac": "audio/flac",
    ".jfif": "image/jpeg",
    ".jp2": "image/jp2",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mkv": "video/matroska",
    ".oga .ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".psd": "image/vnd.adobe.photoshop",
    ".wav": "audio/wav",
    ".weba": "audio/webm",
    ".webp": "image/webp",
    ".wma": "audio/x-ms-wma",
    ".wmv": "video/x-ms-wmv",
    ".apk": "application/vnd.android.package-archive",
    ".js .mjs": "text/javascript",
}


@cache
def _by_suffix() -> dict[str, str]:
    """Return the content type of each suffix."""
    own = {suffix: content_type for suffixes, content_type in _TYPES.items() for suffix in suffixes.split()}
    return MimeTypes().types_map[True] | own


def content_type_of(name: str) -> str:
    """Return the content type of a file name, by default ``application/octet-stream``."""
    suffix = PurePosixPath(name).suffix.lower()
    return _by_suffix().get(suffix, "application/octet-stream")
