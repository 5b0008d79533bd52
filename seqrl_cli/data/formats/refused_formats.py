"""Formats of recordings that are recognized and not read: each is named, with the line that converts it."""

from __future__ import annotations

import shlex
import zipfile
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.archives import ARCHIVE_ERRORS
from seqrl_cli.files.regular import open_regular

_START_BYTES = 512

_PARQUET_HINT = (
    "read its columns with pandas.read_parquet, and save each episode's arrays in one .npz: "
    "numpy.savez(FILE, observations=…, actions=…, rewards=…, terminals=…)"
)
_ARRAYS_HINT = "save the columns in one file: numpy.savez(FILE, observations=…, actions=…, rewards=…, terminals=…)"
_TFDS_HINT = (
    "load it with tensorflow_datasets.builder_from_directory(FOLDER), and save each episode's steps in one .npz: "
    "numpy.savez(FILE, observations=…, actions=…, rewards=…, terminals=…)"
)
_MATLAB_HINT = "load it in Python with scipy.io.loadmat, and save it by numpy.savez(FILE, **columns), one row per step"
_MATLAB_7_HINT = (
    "its arrays are transposed in HDF5: read them with h5py, and save it by numpy.savez(FILE, observations=array.T, …)"
)
_ZARR_HINT = "open it with zarr.open(FOLDER), and " + _ARRAYS_HINT

_UNPACK_HINT = "unpack it, and give the path of the folder"

_COMMANDS = {"gunzip", "bunzip2", "unxz", "unzstd"}
_PAGES = (b"<!doctype", b"<html")
_ZIP = b"PK\x03\x04"
_READ_HERE = (b"\x89HDF", b"\x80")

# First bytes, what the file is, and what to do.
_SIGNATURES = (
    (b"\x1f\x8b", "is compressed with gzip", "gunzip"),
    (b"BZh", "is compressed with bzip2", "bunzip2"),
    (b"\xfd7zXZ", "is compressed with xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard", "unzstd"),
    (b"7z\xbc\xaf", "is a 7-Zip archive", _UNPACK_HINT),
    (b"PAR1", "is a Parquet file, as LeRobot's datasets and pandas have", _PARQUET_HINT),
    (b"ARROW1", "is an Arrow file", _PARQUET_HINT.replace("parquet", "feather")),
    (b"\x93NUMPY", "is a single array of NumPy", _ARRAYS_HINT),
    (b"MATLAB 7.3", "is a file of MATLAB 7.3", _MATLAB_7_HINT),
    (b"MATLAB 5.0", "is a file of MATLAB", _MATLAB_HINT),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself", "git lfs pull"),
    (b"<!doctype", "is a web page", "download the file itself, not the page that shows it"),
    (b"<html", "is a web page", "download the file itself, not the page that shows it"),
    (b"SQLite format 3", "is an SQLite database, as ROS bags are", _ARRAYS_HINT),
)
_SUFFIXES = {
    ".tfrecord": ("is a file of TensorFlow records, as RLDS has", _TFDS_HINT),
    ".csv": ("is a table in text", "read it with pandas.read_csv, and " + _ARRAYS_HINT),
    ".tsv": ("is a table in text", "read it with pandas.read_csv(FILE, sep='\\t'), and " + _ARRAYS_HINT),
    ".json": ("is a JSON file", "read it in Python, and " + _ARRAYS_HINT),
    ".jsonl": ("is a file of JSON lines", "read it in Python, and " + _ARRAYS_HINT),
    ".tar": ("is an archive", _UNPACK_HINT),
    ".bag": ("is a ROS bag", _ARRAYS_HINT),
    ".safetensors": ("contains tensors of a model, not episodes", "seqrl import FOLDER reads a model"),
}
# Files that only one kind of folder has.
_FOLDERS = (
    ("meta/info.json", "is a LeRobot dataset, whose episodes are Parquet files", _PARQUET_HINT),
    ("features.json", "is a TensorFlow dataset, as RLDS has", _TFDS_HINT),
    (".zgroup", "is a Zarr folder", _ZARR_HINT),
    ("zarr.json", "is a Zarr folder", _ZARR_HINT),
    ("dataset_dict.json", "is a dataset of Hugging Face, whose tables are Arrow files", _PARQUET_HINT),
    ("state.json", "is a dataset of Hugging Face, whose tables are Arrow files", _PARQUET_HINT),
)


def refuse_known_format(path: Path) -> None:
    """Refuse a file of a known format that is not read here, whatever its suffix.

    Raises:
        SeqrlError: it has such a format, or cannot be read.
    """
    if not path.is_file():
        return
    try:
        with open_regular(path) as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise SeqrlError(f"cannot read {path}: {error.strerror or error}", "check the file") from error
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for signature, what, hint in _SIGNATURES:
        if text.startswith(signature) or (signature in _PAGES and text.lower().startswith(signature)):
            unpack = f"{hint} < {shlex.quote(str(path))} > NEW_FILE"  # which needs no suffix
            raise SeqrlError(f"{path} {what}", unpack if hint in _COMMANDS else hint)
    if start.startswith(_ZIP):
        _refuse_plain_archive(path)
        return
    suffix = ".tfrecord" if ".tfrecord" in path.name else path.suffix.lower()
    if suffix in _SUFFIXES and not start.startswith(_READ_HERE):
        what, hint = _SUFFIXES[suffix]
        raise SeqrlError(f"{path} {what}", hint)


def is_torch_archive(path: Path) -> bool:
    """Whether a zip archive is one of ``torch.save``; False for any other file."""
    return any(name.endswith("/data.pkl") for name in _members(path))


def _refuse_plain_archive(path: Path) -> None:
    names = [name for name in _members(path) if not name.endswith("/")]
    if names and not any(name.endswith((".npy", "/data.pkl")) for name in names):
        raise SeqrlError(f"{path} is an archive of files, such as {names[0]!r:.60}", _UNPACK_HINT)


def _members(path: Path) -> list[str]:
    """Names in a zip archive; none if it is damaged, which its reader reports."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (*ARCHIVE_ERRORS, OSError, ValueError):
        return []


def refuse_known_folder(folder: Path) -> None:
    """Refuse a folder of a known format that is not read here.

    Raises:
        SeqrlError: it has such a format.
    """
    for name, what, hint in _FOLDERS:
        if (folder / name).is_file():
            raise SeqrlError(f"{folder} {what}", hint)
    found = next((path.name for path in sorted(folder.iterdir()) if ".tfrecord" in path.name), None)
    if found is not None:
        raise SeqrlError(f"{folder} contains TensorFlow records, such as {found}", _TFDS_HINT)
