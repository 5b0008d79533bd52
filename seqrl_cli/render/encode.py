"""Frames to a GIF or an MP4, written completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import atomic_path

VIDEO_FORMATS = (".gif", ".mp4")
GIF_COLOURS = 128
_PALETTE_FRAMES = 8
_LAST_FRAME_SECONDS = 1.0
_MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)

Draw = Callable[[int], np.ndarray]


def check_video_format(output: Path) -> str:
    """The extension of ``output`` in lower case.

    Raises:
        UsageError: it is neither a GIF nor an MP4.
    """
    suffix = output.suffix.lower()
    if suffix not in VIDEO_FORMATS:
        named = f"as {output.suffix!r}" if output.suffix else "without an extension"
        raise UsageError(f"cannot write a video {named}: {output}", f"end the name in {' or '.join(VIDEO_FORMATS)}")
    return suffix


def write_video(draw: Draw, count: int, output: Path, fps: float) -> None:
    """Write frames 0 to ``count - 1``; the last one stays for a second.

    Args:
        draw: draws frame ``i``, ``(height, width, 3)`` uint8 with even sides; may be called twice for one frame.
        count: number of frames, at least one.
        output: a ``.gif`` or ``.mp4`` file.
        fps: frames per second; a GIF stores delays in hundredths of a second.

    Raises:
        UsageError: another extension.
        SeqrlError: the file cannot be written, or ffmpeg is missing.
    """
    suffix = check_video_format(output)
    with atomic_path(output) as temporary:
        if suffix == ".gif":
            _write_gif(draw, count, temporary, fps)
        else:
            _write_mp4(draw, count, temporary, fps)


def _write_gif(draw: Draw, count: int, path: Path, fps: float) -> None:
    """Use one palette for all frames and no dithering, so that what does not move is the same in all frames."""
    palette = _palette(draw, count)
    frames = [_quantized(draw(index), palette) for index in range(count)]
    delay = max(2, round(100 / fps)) * 10
    delays = [delay] * (count - 1) + [delay + int(1000 * _LAST_FRAME_SECONDS)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays, loop=0, optimize=False)


def _palette(draw: Draw, count: int) -> Image.Image:
    """The colours of a few frames, by octree: median cut would trade the body's colours for shades of the floor."""
    chosen = sorted({round(index) for index in np.linspace(0, count - 1, _PALETTE_FRAMES)})
    montage = Image.fromarray(np.concatenate([draw(index) for index in chosen]))
    return montage.quantize(GIF_COLOURS, method=Image.Quantize.FASTOCTREE)


def _quantized(frame: np.ndarray, palette: Image.Image) -> Image.Image:
    return Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)


def _write_mp4(draw: Draw, count: int, path: Path, fps: float) -> None:
    """Pipe raw frames to ffmpeg, and kill it if a frame fails."""
    first = draw(0)
    command = [_ffmpeg(), "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{first.shape[1]}x{first.shape[0]}", "-r", f"{fps:.6f}", "-i", "-", "-an"]
    command += ["-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as encoder:
        assert encoder.stdin is not None
        try:
            for index in range(count):
                frame = draw(index)
                encoder.stdin.write(frame.tobytes())
            encoder.stdin.write(frame.tobytes() * round(fps * _LAST_FRAME_SECONDS))
            _, message = encoder.communicate()
        except BrokenPipeError:
            encoder.kill()
            _, message = encoder.communicate()
        except BaseException:
            encoder.kill()
            with contextlib.suppress(BrokenPipeError):
                encoder.stdin.close()
            raise
    if encoder.returncode != 0:
        raise _encoder_error(message.decode(errors="replace").strip())


def _encoder_error(message: str) -> Exception:
    """What ffmpeg says as an error of this process: the machine's, which it only cites, or its own last line."""
    for number in _MACHINE_ERRORS:
        if os.strerror(number) in message:
            return OSError(number, os.strerror(number))
    reason = message.splitlines()[-1] if message else "it stopped"
    return SeqrlError(f"ffmpeg cannot write the video: {reason}", "check the disk, or write a .gif")


def _ffmpeg() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise SeqrlError(
            "ffmpeg, which writes MP4s, was not found", "write a .gif, or install imageio-ffmpeg"
        ) from error
