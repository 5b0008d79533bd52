"""C++ for decoders on a CPU, compiled when it is first used.

In reading order:

- ``library``: compiles and loads the C++; ``trust``: which files may be loaded.
- ``structs``: the C++ structs as ctypes.
- ``linear``: linear layers (``linear.h``, ``linear.cpp``).
- ``pages``: memory for the pages of a key/value cache.
- ``gpt.h``, ``gpt.cpp``, ``attention.h``: a GPT's forward pass over a paged cache.
- ``simd.h``: vectors of floats.
"""
