"""Files are opened and parsed in `seqrl_cli/files/` only, where pipes, devices, links and huge values are refused."""

import ast
import re
from pathlib import Path

import seqrl_cli

PACKAGE = Path(seqrl_cli.__file__).parent

FUNCTIONS = {
    *("open", "io.open", "os.open", "os.fdopen", "json.load", "json.loads", "zipfile.ZipFile", "h5py.File"),
    *(
        "np.load",
        "np.loadtxt",
        "np.genfromtxt",
        "np.fromfile",
        "np.memmap",
        "torch.load",
        "pickle.load",
        "pickle.loads",
    ),
    *("safe_open", "load_file", "tomllib.load", "tarfile.open", "gzip.open", "Image.open", "imageio.imread"),
    *("shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "linecache.getlines", "fileinput.input"),
}
METHODS = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}
MENTION = re.compile(r"\b(yaml|open\w*|\w*load\w*|(read|write)_(text|bytes)|File|ZipFile|copy\w*|from\w+|memmap)\b")
NAMES = METHODS | {function.rpartition(".")[2] for function in FUNCTIONS}

TEMPORARY = "writes a temporary file of its own, which `atomic_path` or `mkdtemp` made"
PIPE = "what our own processes say to each other"
PART = "an unfinished download, which must be a file of its own: no link, neither a hard one nor a soft one"
OPENED = "is given an open file"
ALLOWED = {
    ("__main__.py", "os.open"): "/dev/null",
    ("__main__.py", "os.fdopen"): "the standard streams",
    ("artifacts/remote.py", "self._fs.open"): "the store's own files, through fsspec",
    ("artifacts/sync.py", "shutil.copyfile"): "copies a file whose hash was compared",
    ("workflows/exchange/pull.py", "shutil.copy2"): "copies results of a run into the folder that replaces it",
    ("workflows/exchange/pull.py", "shutil.copytree"): "the same, links as links",
    ("artifacts/sync.py", "target.open"): "writes a new file in a folder of its own",
    ("cli/session.py", "os.open"): "/dev/null",
    ("config/extras.py", "metadata.distribution('seqrl').read_text"): "pip's record of this package",
    ("console/diagnostics.py", "os.open"): "/dev/null",
    ("download/fetch.py", "shutil.copyfile"): "copies a file that was looked at",
    ("download/connection.py", "opener.open"): "the network",
    ("download/partial.py", "open"): PART,
    ("download/partial.py", "os.open"): PART,
    ("download/transfer.py", "self.partial.open"): PART,
    ("data/formats/dqn_replay.py", "gzip.open"): OPENED,
    ("data/formats/refused_formats.py", "zipfile.ZipFile"): OPENED,
    ("data/formats/npz.py", "zipfile.ZipFile"): OPENED,
    ("data/formats/npz.py", "archive.open"): "a member of an archive",
    ("data/pretrained.py", "zipfile.ZipFile"): OPENED,
    ("data/pretrained.py", "content.open"): "a member of an archive",
    ("data/pretrained.py", "temporary.open"): TEMPORARY,
    ("envs/domains/bullet.py", "open"): "/dev/null",
    ("envs/vector/backend.py", "json.loads"): PIPE,
    ("envs/vector/messages.py", "json.loads"): PIPE,
    ("envs/vector/worker.py", "json.loads"): PIPE,
    ("envs/vector/streams.py", "os.fdopen"): PIPE,
    ("envs/vector/streams.py", "os.open"): "/dev/null",
    ("launch/ordered_map.py", "pickle.loads"): "what it has just pickled",
    ("interop/trajectory_transformer_folder.py", "temporary.write_bytes"): TEMPORARY,
    ("models/device.py", "Path('/proc/meminfo').read_text"): "the kernel's",
    ("online/players.py", "torch.load"): PIPE,
    ("reports/plot/draw.py", "Image.open"): OPENED,
    ("workflows/report/html.py", "picture.read_bytes"): TEMPORARY,
    ("workflows/train/beside.py", "pickle.load"): PIPE,
    ("workflows/train/player.py", "pickle.load"): PIPE,
    ("workflows/show/watch.py", "Path(f'/proc/{process}/stat').read_text"): "the kernel's",
    ("workflows/show/watch.py", "Path(f'/proc/{process}/statm').read_text"): "the kernel's",
    ("training/checkpoints.py", "(folder / name).write_bytes"): TEMPORARY,
}


EXEMPT = {
    "files/": "the only way in",
    "runs/lock.py": "opens lock files: no link is followed",
    "runs/holder.py": "opens lock files: no link is followed, and what is only asked about is not created",
    "native/": "the compiled library, in a folder that nobody else may write, and the package's own C++",
}


def ways_in(tree: ast.AST) -> set[str]:
    """Every mention of a function or method that opens or parses a file, called or not; and of PyYAML."""
    helpers, found = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqrl_cli.files"):
            helpers |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name == "yaml"}
    types = {node.returns if isinstance(node, ast.FunctionDef) else node.annotation for node in annotated(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in NAMES and node not in types:
            owner, whole = ast.unparse(node.value), ast.unparse(node)
            if whole in FUNCTIONS or (node.attr in METHODS and owner not in helpers):
                found.add(whole)
        elif isinstance(node, ast.Name) and node.id in FUNCTIONS:
            found.add(node.id)
    return found


def annotated(tree: ast.AST) -> list[ast.FunctionDef | ast.arg | ast.AnnAssign]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.arg | ast.AnnAssign)]


def test_no_other_way_in():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        if not name.startswith(tuple(EXEMPT)):
            text = path.read_text()
            if MENTION.search(text):
                found |= {(name, way) for way in ways_in(ast.parse(text))}
    assert sorted(found - ALLOWED.keys()) == [], "use seqrl_cli.files, or state the reason here"
    assert sorted(ALLOWED.keys() - found) == [], "no longer there: remove it here"


def test_the_search_finds_what_it_should():
    program = "import yaml\nwith path.open() as file: json.load(file)\nmap(json.loads, lines)\nh5py.File(x)\nopen(y)"
    assert ways_in(ast.parse(program)) == {"yaml", "path.open", "json.load", "json.loads", "h5py.File", "open"}
