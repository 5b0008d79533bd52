"""The wheel holds all that the program needs: installed into an environment of its own, it knows its presets."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_wheel_in_a_fresh_environment_has_the_presets(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)  # it would come before the wheel
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("seqrl-*.whl")
    fresh = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True)
    python = fresh / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (packages,) = fresh.glob("lib/python*/site-packages")
    # The dependencies are borrowed from this environment; seqrl itself is not, because it comes first on the path.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")

    seqrl = [str(fresh / "bin" / "seqrl")]
    listed = subprocess.run([*seqrl, "presets", "--json"], check=True, capture_output=True, text=True, cwd=tmp_path)
    names = [row["preset"] for row in json.loads(listed.stdout)["presets"]]
    assert "hopper-medium-v2" in names and "base" in names
    program = "import seqrl_cli; print(seqrl_cli.__file__)"
    where = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert where.stdout.startswith(str(fresh))
    assert (packages / "seqrl_cli" / "presets" / "behaviour" / "hopper.yaml").is_file()
    native = {path.name: path.read_bytes() for path in (ROOT / "seqrl_cli/native").glob("*.[ch]*")}
    assert {"gpt.cpp", "linear.cpp", "simd.h"} <= native.keys()
    for name, content in native.items():
        assert (packages / "seqrl_cli/native" / name).read_bytes() == content
