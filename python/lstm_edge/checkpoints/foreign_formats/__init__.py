"""Files of other libraries, brought to PyTorch's names, layout and gate order.

One file a library. Each is read from bytes; the library that reads them is an extra,
and loaded for its own files only.
"""
