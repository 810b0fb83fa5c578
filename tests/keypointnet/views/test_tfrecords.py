import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from keypointnet.views.example_messages import TFRecordWriter
from keypointnet.views.tfrecords import RecordFile
from keypointnet.views.view_files import StorageError

KINDS = {"name": "byte", "values": "float"}


@pytest.fixture
def path(tmp_path):
    """Three records, of different lengths."""
    writer = TFRecordWriter(str(tmp_path / "0000.tfrecord"))
    for i in range(3):
        writer.write({"name": (b"x" * (i + 1), "byte"), "values": ([i, 0.5], "float")})
    writer.close()
    return tmp_path / "0000.tfrecord"


def spoil(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def read_all(path):
    file = RecordFile(path)
    return [file.read(i, KINDS) for i in range(len(file))]


def message(path, index=None):
    """What is said when the file is opened, or when a record is read."""
    with pytest.raises(StorageError) as error:
        _ = RecordFile(path) if index is None else RecordFile(path).read(index, KINDS)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def one_record(path, data):
    """A file whose only record holds these bytes, with right checksums."""
    length = struct.pack("<Q", len(data))
    crc = TFRecordWriter.masked_crc
    path.write_bytes(length + crc(length) + data + crc(data))


def test_any_record_is_read_by_itself(path):
    file = RecordFile(path)
    assert len(file) == 3
    for i in (2, 0, 1):
        features = file.read(i, KINDS)
        assert features["name"] == b"x" * (i + 1)
        np.testing.assert_array_equal(features["values"], np.float32([i, 0.5]))
    assert file.read(1, {"name": "byte"}) == {"name": b"xx"}
    with pytest.raises(IndexError, match="record 3 of 3"):
        file.read(3, KINDS)


def test_the_masked_checksum_is_the_formats(tmp_path):
    # CRC-32C of 32 zero bytes is 8A9136AA (RFC 3720, B.4); rotated right by 15, plus A282EAD8.
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    path = tmp_path / "zeros.tfrecord"
    one_record(path, bytes(32))
    assert path.read_bytes()[-4:] == struct.pack("<I", masked)
    assert len(RecordFile(path)) == 1


def test_a_pickled_file_reads_on(path):
    file = pickle.loads(pickle.dumps(RecordFile(path)))
    assert file.read(2, KINDS)["name"] == b"xxx"


def test_every_flipped_byte_is_noticed(path):
    whole = path.read_bytes()
    starts = RecordFile(path).starts
    for place in range(len(whole)):
        path.write_bytes(whole)
        spoil(path, place)
        with pytest.raises(StorageError) as error:
            read_all(path)
        index = int(np.searchsorted(starts, place, side="right")) - 1
        in_length = place - starts[index] < 12
        if in_length and index == 0:
            assert "is no TFRecord file" in str(error.value)
        elif in_length:
            assert f"record {index} does not begin with a length" in str(error.value)
        else:
            assert f"record {index} does not match its checksum" in str(error.value)


def test_a_file_cut_short_anywhere_names_its_last_record(path):
    whole = path.read_bytes()
    starts = RecordFile(path).starts
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size in starts:
            assert len(RecordFile(path)) == list(starts).index(size)
        else:
            index = int(np.searchsorted(starts, size)) - 1
            assert message(path).startswith(f"record {index} is cut short")
    path.write_bytes(whole[: starts[2] + 30])
    needed = starts[3] - starts[2]
    expected = f"record 2 is cut short: it takes {needed} bytes, 30 are left; fetch it again"
    assert message(path) == expected
    path.write_bytes(b"")
    assert message(path) == "is empty; fetch it again"


def test_a_file_cut_while_it_is_open(path):
    file = RecordFile(path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(StorageError, match="record 2 does not match its checksum"):
        file.read(2, KINDS)
    path.unlink()
    with pytest.raises(StorageError, match=r"0000.tfrecord: No such file"):
        file.read(0, KINDS)


def test_a_length_is_not_taken_on_trust(path):
    length = struct.pack("<Q", 1 << 60)
    path.write_bytes(length + TFRecordWriter.masked_crc(length) + b"little")
    needed = (1 << 60) + 16
    expected = f"record 0 is cut short: it takes {needed} bytes, 18 are left; fetch it again"
    assert message(path) == expected


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(40), b"\x1f\x8b\x08" + bytes(40)])
def test_foreign_files(path, data):
    path.write_bytes(data)
    assert message(path).startswith("is no TFRecord file")


def test_foreign_records(path):
    one_record(path, b"\xff\xff")
    assert message(path, 0) == "record 0 is no tf.train.Example"
    one_record(path, TFRecordWriter.serialize_tf_example({"image": (b"", "byte")}))
    assert message(path, 0) == "record 0 lacks name, values (it has image)"
    one_record(path, b"")
    assert message(path, 0) == "record 0 lacks name, values (it has no features)"
    other = {"name": (b"x", "byte"), "values": ([1, 2], "int")}
    one_record(path, TFRecordWriter.serialize_tf_example(other))
    assert message(path, 0).startswith("record 0 is of another kind: ")


def test_no_such_file(tmp_path):
    assert message(tmp_path / "none.tfrecord") == "No such file or directory"


TWICE = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool
def theirs():
    file = descriptor_pb2.FileDescriptorProto(name="tensorflow/feature.proto", package="tensorflow")
    file.message_type.add(name="BytesList")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
if sys.argv[1] == "first":
    theirs()
from keypointnet.views.example_messages import Example, TFRecordWriter
if sys.argv[1] == "second":
    theirs()
example = Example()
example.ParseFromString(TFRecordWriter.serialize_tf_example({"a": (b"x", "byte")}))
print(example.features.feature["a"].bytes_list.value)
"""


@pytest.mark.parametrize("order", ["first", "second"])
def test_tensorflows_messages_may_be_imported_too(order):
    """In a process of its own: the common pool keeps what it is given."""
    command = [sys.executable, "-c", TWICE, order]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("[b'x']\n", 0), done.stderr
