"""TFRecord files, any record of which is read by itself and checked.

A record is a length (8 bytes), the masked CRC-32C of these (4), the data and their masked CRC-32C
(4). The `tfrecord` package, whose messages and checksums are used here, reads past both checksums
and takes a length on trust; so the records are found here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from keypointnet.views.example_messages import Example, TFRecordWriter, extract_feature_dict
from keypointnet.views.view_files import StorageError

_HEADER = struct.Struct("<Q4s")
_CRC_BYTES = 4
_KINDS = {"byte": "bytes_list", "float": "float_list", "int": "int64_list"}


class RecordFile:
    """Where the records of a file lie; `read` opens it anew each time, so copies and pickles work.

    Opening looks at every length and its checksum, not at the data.

    Attributes:
        path: of the file.
        starts: (R + 1,) where each record begins in the file, and where the last one ends.
    Raises:  StorageError: it cannot be read, has no record, is cut short or is no TFRecord file;
             the record is named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        starts = [0]
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                file_size = os.fstat(descriptor).st_size
                while starts[-1] < file_size:
                    header = os.pread(descriptor, _HEADER.size, starts[-1])
                    starts.append(self._end(len(starts) - 1, header, starts[-1], file_size))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from None
        if len(starts) == 1:
            raise StorageError(f"{path}: is empty; fetch it again")
        self.starts = np.array(starts, np.int64)

    def __len__(self) -> int:
        """How many records there are."""
        return len(self.starts) - 1

    def read(self, index: int, kinds: Mapping[str, str]) -> dict[str, Any]:
        """The features of a record.

        Args:    kinds: the wanted features and what they hold: "byte", "float" or "int".
        Returns: name → bytes, or a float32 or int64 array.
        Raises:  StorageError: the data do not match their checksum, are no tf.train.Example, or
                 lack a feature or have it of another kind.
                 IndexError: no such record.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: record {index} of {len(self)}")
        data = self._data(index)
        example = Example()
        try:
            example.ParseFromString(data)
        except DecodeError:
            raise self._error(index, "is no tf.train.Example") from None
        # A feature may be there without a value, of which the package makes an IndexError.
        there = {name for name, value in example.features.feature.items() if value.ListFields()}
        if not kinds.keys() <= there:
            raise self._error(
                index,
                f"lacks {', '.join(sorted(kinds.keys() - there))} (it has "
                f"{', '.join(sorted(there)) or 'no features'})",
            )
        try:
            features: dict[str, Any] = extract_feature_dict(example.features, dict(kinds), _KINDS)
        except TypeError as error:
            raise self._error(index, f"is of another kind: {error}") from None
        return features

    def _data(self, index: int) -> bytes:
        start, end = (int(place) for place in self.starts[index : index + 2])
        try:
            with open(self.path, "rb", buffering=0) as file:
                record = os.pread(file.fileno(), end - start, start)
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from None
        data, crc = record[_HEADER.size : -_CRC_BYTES], record[-_CRC_BYTES:]
        if len(record) != end - start or TFRecordWriter.masked_crc(data) != crc:
            raise self._error(index, "does not match its checksum; fetch the file again")
        return data

    def _end(self, index: int, header: bytes, start: int, file_size: int) -> int:
        """Where the record with this header ends."""
        left = file_size - start
        if len(header) < _HEADER.size:
            raise self._error(index, f"is cut short after {left} bytes; fetch the file again")
        length, crc = _HEADER.unpack(header)
        if TFRecordWriter.masked_crc(header[:8]) != crc:
            if index == 0:
                raise StorageError(
                    f"{self.path}: is no TFRecord file (its first 8 bytes, a length, do not match "
                    "the checksum after them)"
                )
            raise self._error(index, "does not begin with a length; the file is damaged from here")
        needed = _HEADER.size + length + _CRC_BYTES
        if needed > left:
            raise self._error(
                index, f"is cut short: it takes {needed} bytes, {left} are left; fetch it again"
            )
        return start + needed

    def _error(self, index: int, what: str) -> StorageError:
        return StorageError(f"{self.path}: record {index} {what}")
