"""Attachments: where the bytes of a file come from, and what the service is told of it.

An attachment is a value that can be read any number of times, so that every retry sends it whole. Nothing here
waits for the network; reading blocks, and the transport does it in worker threads.
"""

from .attachment import Attachable, Attachment, as_attachments
from .sources import Reader

__all__ = ["Attachable", "Attachment", "Reader", "as_attachments"]
