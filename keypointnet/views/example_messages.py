"""The `tfrecord` package, with its messages in a descriptor pool of their own.

It defines tf.train.Example under the same names as TensorFlow does, in another file, and one pool
does not take both: whichever were imported second, in the whole process, would fail. TensorBoard
imports TensorFlow wherever it is installed, so that can be any training. Import it from here.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from google.protobuf import descriptor_pool, symbol_database
from google.protobuf.internal import builder

# These keep the pool that they find when they are first imported: it has to be the common one.
_ALREADY_IMPORTED = (symbol_database, builder)


def _import_apart(name: str) -> ModuleType:
    """A module whose generated messages go into a new pool, unless it has been imported before."""
    pool, common = descriptor_pool.DescriptorPool(), descriptor_pool.Default
    descriptor_pool.Default = lambda: pool
    try:
        return importlib.import_module(name)
    finally:
        descriptor_pool.Default = common


_package = _import_apart("tfrecord")
Example = _package.example_pb2.Example
TFRecordWriter = _package.writer.TFRecordWriter
extract_feature_dict = _package.reader.extract_feature_dict
