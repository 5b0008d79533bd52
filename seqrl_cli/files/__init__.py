"""Files on a disk, whatever they are about.

- ``atomic``: writes that happen completely or not at all.
- ``hdf5``: HDF5 files from untrusted sources.
- ``json_fields``: checked fields of JSON files that anyone may have written.
"""
