import errno
import os
import resource
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.hdf5 import native_attributes, open_hdf5, read_all, read_numbers, write_array, write_hdf5


@pytest.fixture
def elsewhere(tmp_path):
    """A file whose arrays are elsewhere, by every way that HDF5 has; some lead to a pipe, which blocks its reader."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret.bin").write_bytes(bytes(range(80)))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones(10)
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["plain"] = np.arange(3.0)
        file["group/deep"] = np.arange(4.0)
        file["soft"] = h5py.SoftLink("/plain")
        file["softgroup"] = h5py.SoftLink("/group")
        file["group/relative"] = h5py.SoftLink("deep")
        file["chain"] = h5py.SoftLink("softgroup/relative")
        file["lost"] = h5py.SoftLink("/nothing")
        file["through"] = h5py.SoftLink("/plain/deep")
        file["loop"] = h5py.SoftLink("/loop")
        file["ring"], file["gnir"] = h5py.SoftLink("/gnir"), h5py.SoftLink("/ring")
        file["longer"] = h5py.SoftLink("/longer/x")
        file["out"] = h5py.SoftLink("/external-pipe")
        for name, target in {"file": "other.h5", "pipe": "pipe", "device": "/dev/zero"}.items():
            file[f"external-{name}"] = h5py.ExternalLink(target, "/x")
            file.create_dataset(f"stored-{name}", (10,), "f8", external=[(str(tmp_path / target), 0, 80)])
            layout = h5py.VirtualLayout((10,), "f8")
            layout[:] = h5py.VirtualSource(target, "x", (10,))
            file.create_virtual_dataset(f"virtual-{name}", layout)
    return tmp_path / "own.h5"


WAYS = [f"{way}-{to}" for way in ("external", "stored", "virtual") for to in ("file", "pipe", "device")]


@pytest.mark.parametrize("name", ["lost", "lost/x", "through", "loop", "ring", "longer", "out", *WAYS])
def test_arrays_elsewhere_are_refused(elsewhere, name):
    words = "links are not followed|from other files|leads nowhere|more than 8 links"
    for look in (lambda file: file[name], lambda file: file.get(name), lambda file: file["/"][name]):
        with pytest.raises(SeqrlError, match=words), open_hdf5(elsewhere, "") as file:
            assert name in file
            look(file)


def test_arrays_inside_are_read_beside_them(elsewhere):
    with open_hdf5(elsewhere, "") as file:
        assert read_numbers(file, "plain", 1, "").tolist() == [0, 1, 2]
        assert read_all(file["group/deep"]).tolist() == read_all(file["group"]["deep"]).tolist() == [0, 1, 2, 3]
        assert "nothing" not in file and "group/nothing" not in file and "plain/x" not in file
        assert file.get("nothing") is None and isinstance(file["group"], h5py.Group)


def test_links_inside_the_file_are_followed(elsewhere):
    with open_hdf5(elsewhere, "") as file:
        for name in ("soft", "/soft"):
            assert name in file and read_numbers(file, name, 1, "").tolist() == [0, 1, 2]
        for array in (file["softgroup/deep"], file["softgroup"]["relative"], file["chain"], file["/"].get("chain")):
            assert read_all(array).tolist() == [0, 1, 2, 3]
        assert "softgroup/nothing" not in file["group"] and "soft/x" not in file["group"]


def test_a_shape_without_data_is_refused(tmp_path):
    path = tmp_path / "huge.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**33,), "f8", chunks=(1024,))
    with pytest.raises(SeqrlError, match="x in .*huge.h5 claims 68,719,476,736 bytes"), open_hdf5(path, "") as file:
        read_numbers(file, "x", 1, "")


def test_a_user_block_and_other_versions_are_read(tmp_path):
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=512, libver="latest") as file:
        file.create_dataset("x", data=np.arange(5, dtype=">f4"), compression="gzip")
    with open_hdf5(tmp_path / "block.h5", "") as file:
        assert read_numbers(file, "x", 1, "").tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, 524])
def test_file_systems_without_locks_are_read_without_locks(tmp_path, monkeypatch, number):
    with write_hdf5(tmp_path / "a.h5") as file:
        write_array(file, "x", np.arange(3.0))
    opened = h5py.File.__init__

    def without_locks(self, *arguments, **options):
        if "r" in arguments and options.get("locking") is not False:
            raise OSError(f"Unable to open file (unable to lock file, errno = {number}, error message = '?')")
        opened(self, *arguments, **options)

    monkeypatch.setattr(h5py.File, "__init__", without_locks)
    with open_hdf5(tmp_path / "a.h5", "") as file:
        assert read_numbers(file, "x", 1, "").tolist() == [0, 1, 2]


READER = """
import sys
from pathlib import Path
from seqrl_cli.files.hdf5 import open_hdf5
with open_hdf5(Path(sys.argv[1]), ""):
    pass
"""


def run_program(program, *words):
    return subprocess.run([sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True)


@pytest.mark.slow
def test_a_writer_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w"):
        done = run_program(READER, tmp_path / "a.h5")
    assert "another program is writing it" in done.stderr


WRITER = textwrap.dedent("""
    import resource, signal, sys
    from pathlib import Path
    import numpy as np
    from seqrl_cli.errors import SeqrlError
    from seqrl_cli.files.hdf5 import write_array, write_hdf5
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in map(int, sys.argv[2:]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            with write_hdf5(Path(sys.argv[1])) as file:
                for index in range(20):
                    write_array(file.create_group(f"episode_{index}"), "x", np.arange(100.0))
            print("whole")
        except SeqrlError as error:
            print(error.message.partition(": ")[2])
""")


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_byte_is_an_error_and_no_crash(tmp_path):
    """A limit on the size of files, which fails writes just as a full disk does."""
    target = tmp_path / "a.h5"
    limits = [*range(0, 40_000, 997), 2**20]
    done = run_program(WRITER, target, *limits)
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1] == "whole" and set(lines) == {"the file would be larger than this machine allows", "whole"}
    assert os.listdir(tmp_path) == ["a.h5"]


def test_writing_takes_the_bytes_of_the_file_once_more(tmp_path):
    numbers = np.ones(2**23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with write_hdf5(tmp_path / "a.h5") as file:
        write_array(file, "x", numbers)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 1.4 * numbers.nbytes


def test_attributes_that_are_arrays_of_one_value_are_that_value(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["scalar"] = "Pendulum-v1"
        file.attrs["texts"] = np.array(["Pendulum-v1"], h5py.string_dtype())
        file.attrs["bytes"] = np.array([[b"Pendulum-v1"]])
        file.attrs["numbers"] = np.array([200])
        file.attrs["two"] = np.array([1, 2])
        file.attrs["none"] = np.array([])
    with open_hdf5(tmp_path / "a.h5", "") as file:
        found = native_attributes(file)
    assert found == {"numbers": 200, **dict.fromkeys(("scalar", "texts", "bytes"), "Pendulum-v1")}
