"""The laboratory: all that trains or experiments. It needs the extra lab."""
