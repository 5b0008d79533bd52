"""Files of torch.save in both layouts equal what PyTorch reads; tampered ones are refused."""

from __future__ import annotations

import io
import re
import struct
import zipfile

import pytest
import torch

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.safe_pickle.machine import RefusedFileError
from seqrl_cli.files.safe_pickle.torch_container import MAX_FILE_BYTES
from seqrl_cli.interop.torch_files import read_state_dict, read_torch
from tests.interop.spelling import END, dict_of, legacy_file, storage, tensor, text, zip_file

STATE = dict_of(weight=tensor(storage())) + END


def refused(path, content: bytes, what: str) -> None:
    path.write_bytes(content)
    with pytest.raises(SeqrlError, match=what) as error:
        read_state_dict(path)
    assert str(path) in error.value.message and "\n" not in error.value.message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state_1.pt"


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_every_layout_and_number(path, is_zip, dtype):
    generator = torch.Generator().manual_seed(0)
    whole = (torch.rand(5, 6, generator=generator) * 10).to(dtype)
    state = {"whole": whole, "view": whole[1:4, ::2], "turned": whole.T, "scalar": whole[2, 3], "empty": whole[:0]}
    state = {name: value.clone() if name == "whole" else value for name, value in state.items()}
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(path)
    assert read.keys() == state.keys()
    for name, value in state.items():
        assert read[name].dtype == dtype
        torch.testing.assert_close(read[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_modules_state_dict(path, is_zip):
    module = torch.nn.TransformerEncoderLayer(8, 2)
    torch.save(module.state_dict(), path, _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(path)
    module.load_state_dict(read)
    assert list(read) == list(module.state_dict())


def test_parameters_are_tensors(path):
    parameter = torch.nn.Parameter(torch.arange(4.0))
    torch.save({"weight": parameter}, path)
    torch.testing.assert_close(read_state_dict(path)["weight"], parameter.data)


def test_a_whole_module_is_refused_by_name(path):
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(RefusedFileError, match="torch.nn.modules.linear.Linear"):
        read_torch(path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_file_cut_short_anywhere(path, is_zip):
    torch.save(torch.nn.Linear(3, 3).state_dict(), path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 1, 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(SeqrlError):
            read_state_dict(path)


def test_a_flipped_bit_in_the_numbers_of_a_zip(path):
    torch.save({"weight": torch.arange(64.0)}, path)
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<3f", 1.0, 2.0, 3.0))
    data[place] ^= 1
    refused(path, bytes(data), "cut short or damaged")


def test_what_is_no_state_dict(path):
    for value in (torch.zeros(2), [torch.zeros(2)], {}, {"optimizer": {"step": 1}}, {1: torch.zeros(2)}):
        torch.save(value, path)
        with pytest.raises(SeqrlError, match="weights"):
            read_state_dict(path)
    refused(path, b"hello", "was refused")
    refused(path, b"torch", "not a whole pickle")
    refused(path, b"\x80\x02K\x07.", "not a file of torch.save")


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (tensor(storage(numel=2**39)), "storage 0 has 16 bytes"),
        (tensor(storage(numel=3), (3,)), "storage 0 has 16 bytes"),
        (tensor(storage("9")), "storage 9 is missing"),
        (tensor(storage(), (2**20, 2**19), (0, 0)), "_rebuild_tensor_v2"),
        (tensor(storage(), (5,)), "_rebuild_tensor_v2"),
        (tensor(storage(), (2,), (4,)), "_rebuild_tensor_v2"),
        (tensor(storage(), (2,), (-1,)), "_rebuild_tensor_v2"),
        (tensor(storage(), (4,), (1, 1)), "_rebuild_tensor_v2"),
        (tensor(storage(), hooks=dict_of(hook=text("x"))), "_rebuild_tensor_v2"),
    ],
    ids=["huge", "short", "absent", "stretched", "past the end", "stride", "backwards", "ranks", "hooks"],
)
def test_tensors_that_lie(path, program, what):
    refused(path, zip_file(dict_of(weight=program) + END), what)


def test_many_names_for_the_same_numbers(path):
    numbers = MAX_FILE_BYTES // 4 // 1000 + 1
    shared = {f"w{i}": tensor(storage(numel=numbers), (numbers,)) for i in range(1000)}
    refused(path, zip_file(dict_of(**shared) + END, _0=bytes(4 * numbers)), "more than such a file may contain")


def tampered(*members: tuple[str, bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    """A good file with other members beside."""
    buffer = io.BytesIO(zip_file(STATE))
    with zipfile.ZipFile(buffer, "a", compress) as archive, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (tampered(("../../evil", b"x")), r"'../../evil', which points outside"),
        (tampered(("/etc/evil", b"x")), "'/etc/evil', which points outside"),
        (tampered(("archive/data/../../evil", b"x")), "points outside"),
        (tampered(("archive\\evil", b"x")), "points outside"),
        (tampered(("c:/evil", b"x")), "points outside"),
        (tampered(("archive/code/__torch__.py", b"x")), "archive/code/__torch__.py"),
        (tampered(("archive/constants.pkl", b"x")), "archive/constants.pkl"),
        (tampered(("archive/data/1/evil", b"x")), "does not belong to saved tensors"),
        (tampered(("other/data/7", b"x")), "2 top folders"),
        (tampered(("archive/data.pkl", b"N.")), "two members 'data.pkl'"),
        (tampered(("other/data.pkl", b"N.")), "two members 'data.pkl'"),
        (tampered(("archive/byteorder", b"big")), "big-endian"),
        (
            tampered(("archive/data/1", bytes(50 * 2**20)), compress=zipfile.ZIP_DEFLATED),
            "compressed|larger than the file",
        ),
        (tampered(("archive/data/1", b"x"), compress=zipfile.ZIP_LZMA), "compressed"),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value) if isinstance(value, str) else "file",
)
def test_archives_that_torch_would_not_write(path, content, what):
    refused(path, content, what)


def test_an_archive_that_lies_about_sizes(path):
    data = bytearray(zip_file(STATE))
    entry = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    struct.pack_into("<II", data, entry + 20, 2**31, 2**31)
    refused(path, bytes(data), "larger than the file")


def test_an_encrypted_member(path):
    data = bytearray(zip_file(STATE))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    refused(path, bytes(data), "encrypted")


def test_an_archive_without_a_pickle(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/version", "3\n")
    refused(path, buffer.getvalue(), "it has no data.pkl")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (legacy_file(STATE, keys=("0", "1")), "no tensor refers to"),
        (legacy_file(STATE, keys=(0,)), "no tensor refers to"),
        (legacy_file(STATE, keys=()), "storage 0 is missing"),
        (legacy_file(STATE, storages=struct.pack("<q", 2**40)), "cut short"),
        (legacy_file(STATE, storages=struct.pack("<q", 4) + bytes(15)), "cut short"),
        (legacy_file(STATE, storages=b""), "cut short"),
    ],
    ids=["more keys", "keys of numbers", "no keys", "huge", "short", "nothing"],
)
def test_legacy_files_that_torch_would_not_write(path, content, what):
    refused(path, content, what)


def test_a_legacy_file_made_by_hand(path):
    path.write_bytes(legacy_file(STATE))
    torch.testing.assert_close(read_state_dict(path)["weight"], torch.zeros(4))


def test_a_file_that_is_too_large_is_not_read(path):
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(RefusedFileError, match="more than"):
        read_state_dict(path)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module._orig_mod.", "model."]
)
def test_prefixes_of_wrappers(path, prefix):
    state = torch.nn.TransformerEncoderLayer(8, 2).state_dict()
    torch.save({f"{prefix}{name}": tensor for name, tensor in state.items()}, path)
    assert list(read_state_dict(path)) == list(state)


def test_the_prefix_of_a_compiled_part(path):
    torch.save({"a.weight": torch.zeros(1), "b._orig_mod.weight": torch.zeros(1)}, path)
    assert list(read_state_dict(path)) == ["a.weight", "b.weight"]
    torch.save({"b.weight": torch.zeros(1), "b._orig_mod.weight": torch.zeros(1), "c": torch.zeros(1)}, path)
    with pytest.raises(SeqrlError, match="contains .b.weight. twice"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["model", "state_dict", "model_state_dict"])
def test_a_state_dict_beside_other_things(path, name):
    module = torch.nn.TransformerEncoderLayer(8, 2)
    optimizer = torch.optim.Adam(module.parameters()).state_dict()
    torch.save({name: module.state_dict(), "epoch": 3, "optimizer": optimizer, "best": None}, path)
    assert list(read_state_dict(path)) == list(module.state_dict())
    torch.save({"model": module.state_dict(), "state_dict": module.state_dict()}, path)
    with pytest.raises(SeqrlError, match="several models"):
        read_state_dict(path)
