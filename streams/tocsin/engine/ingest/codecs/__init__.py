"""Formats in which metrics arrive: one file and one line of this table each."""

from typing import Final

from tocsin.engine.ingest.codecs import json
from tocsin.engine.ingest.columns import Codec

CODECS: Final[dict[str, Codec]] = {"json": json.decode}
