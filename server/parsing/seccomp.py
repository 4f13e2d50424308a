"""The system calls that a parser process may make: to compute, and to answer. Linux only.

Limits on descriptors do not stop what needs none: a process that was taken over could remove or
rename the gateway's files, end its processes, or read their memory. Where the processor is none of
those listed, the limits of `worker` hold alone.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050001  # SECCOMP_RET_ERRNO with EPERM
_END: Final = 0x80000000  # SECCOMP_RET_KILL_PROCESS

# Instructions (linux/bpf_common.h): load a word, jump if equal, return; and what is loaded.
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER, _ARCHITECTURE = 0, 4

# By processor: its AUDIT_ARCH_ constant, and numbers of read, write, close, fstat, lseek, poll,
# mmap, mprotect, munmap, brk, mremap, madvise, rt_sigaction, rt_sigprocmask, rt_sigreturn,
# sigaltstack, readv, writev, sendto, recvfrom, sched_yield, nanosleep, clock_nanosleep,
# clock_gettime, clock_getres, gettimeofday, times, getrusage, getitimer, setitimer, getpid, gettid,
# futex, set_robust_list, rseq, getrandom, restart_syscall, exit, exit_group, where there are any.
_ALLOWED: Final[Mapping[str, tuple[int, Sequence[int]]]] = MappingProxyType(
    {
        "x86_64": (
            0xC000003E,
            (
                *(0, 1, 3, 5, 8, 7, 9, 10, 11, 12, 25, 28, 13, 14, 15, 131, 19, 20, 44, 45, 24, 35),
                *(230, 228, 229, 96, 100, 98, 36, 38, 39, 186, 202, 273, 334, 318, 219, 60, 231),
            ),
        ),
        "aarch64": (
            0xC00000B7,
            (
                *(63, 64, 57, 80, 62, 73, 222, 226, 215, 214, 216, 233, 134, 135, 139, 132, 65, 66),
                *(206, 207, 124, 101, 115, 113, 114, 169, 153, 165, 102, 103, 172, 178, 98, 99),
                *(293, 278, 128, 93, 94),
            ),
        ),
    }
)


def compute_and_answer_only() -> None:
    """From now on every other call of this process fails with EPERM, for good."""
    found = _ALLOWED.get(platform.machine())
    if found is None:
        return
    program = _program(*found)
    instructions = ctypes.create_string_buffer(program)
    given = struct.pack("HP", len(program) // 8, ctypes.addressof(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(given))


def _program(architecture: int, allowed: Sequence[int]) -> bytes:
    """A filter (linux/seccomp.h); a number in another architecture's way ends the process."""
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _END),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number in allowed:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *line) for line in lines)
