"""What happens in a folder, as it happens: Linux' inotify by way of libc."""
import ctypes
import os
import struct

IN_MODIFY, IN_MOVED_TO, IN_DELETE = 0x2, 0x80, 0x200
HEAD = struct.Struct("iIII")
libc = ctypes.CDLL(None, use_errno=True)


def events(folder):
    """(mask, name) of each change of a file in the folder, for ever."""
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    try:
        if descriptor < 0 or libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_MODIFY | IN_MOVED_TO | IN_DELETE) < 0:
            raise OSError(ctypes.get_errno(), f"cannot watch {folder}")
        while True:
            data = os.read(descriptor, 65536)
            while data:
                _, mask, _, length = HEAD.unpack_from(data)
                yield mask, data[HEAD.size:HEAD.size + length].rstrip(b"\0").decode()
                data = data[HEAD.size + length:]
    finally:
        os.close(descriptor)
