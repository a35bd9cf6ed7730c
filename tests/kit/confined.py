# Tries what a process of the guard must not do, and some of what it needs: prints a line of each, with its outcome.
# Arguments: a file of somebody else, a local socket where somebody listens, and the name of one that is no file.
# Standard input is a local socket that is connected to nothing, if it is a socket.
import ctypes, os, platform, socket, sys, threading

path, listener, abstract = sys.argv[1:4]
libc = ctypes.CDLL(None, use_errno=True)
try:
    file = os.open(path, os.O_RDONLY)
except PermissionError:
    file = os.open(path, os.O_PATH)
HERE = -100
x86 = {"chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260, "fchmodat": 268,
       "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198,
       "fremovexattr": 199, "utimensat": 280, "clone": 56, "unshare": 272, "open_by_handle_at": 304}
arm = {"fchmod": 52, "fchown": 55, "fchownat": 54, "fchmodat": 53, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
       "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "utimensat": 88, "clone": 220, "unshare": 97,
       "open_by_handle_at": 265}
numbers = {**{"x86_64": x86, "aarch64": arm}[platform.machine()],
           "clone3": 435, "fchmodat2": 452, "setxattrat": 463, "removexattrat": 466, "file_setattr": 469}


def told(what, error):
    print(what, os.strerror(error) if error else "works", flush=True)


def call(name, *arguments, what=None):
    if name not in numbers:
        return
    # Each is a whole register: what is shorter may have anything in its upper half.
    whole = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    returned = libc.syscall(ctypes.c_long(numbers[name]), *whole)
    error = ctypes.get_errno() if returned == -1 else 0
    if name == "clone" and returned == 0:
        os._exit(0)
    if name == "clone" and returned > 0:
        os.waitpid(returned, 0)
    told(what or name, error)


def attempt(what, action):
    try:
        action()
        told(what, 0)
    except OSError as error:
        told(what, error.errno)


print("first line")
name, key, value = path.encode(), b"user.asterguard", b"x"
call("chmod", name, 0o644)
call("fchmod", file, 0o600)
call("fchmodat", HERE, name, 0o644)
call("fchmodat2", HERE, name, 0o644, 0)
call("chown", name, 0, 0)
call("lchown", name, 0, 0)
call("fchown", file, 0, 0)
call("fchownat", HERE, name, 0, 0, 0)
for one in "setxattr", "lsetxattr":
    call(one, name, key, value, 1, 0)
call("fsetxattr", file, key, value, 1, 0)
call("setxattrat", HERE, name, 0, key, (ctypes.c_uint64 * 2)(), 16)
for one in "removexattr", "lremovexattr":
    call(one, name, key)
call("fremovexattr", file, key)
call("removexattrat", HERE, name, 0, key)
call("file_setattr", HERE, name, (ctypes.c_uint64 * 8)(), 24, 0)
call("utimensat", HERE, name, None, 0)
call("open_by_handle_at", HERE, None, 0)
SIGCHLD = 17
for flag, bit in ("NEWNS", 17), ("NEWCGROUP", 25), ("NEWUTS", 26), ("NEWIPC", 27), ("NEWUSER", 28), ("NEWPID", 29), ("NEWNET", 30):
    call("clone", 1 << bit | SIGCHLD, 0, 0, 0, 0, what="clone(" + flag + ")")
call("unshare", 1 << 26)
call("clone3", None, 0)
call("clone", SIGCHLD, 0, 0, 0, 0, what="fork")
attempt("thread", lambda: threading.Thread(target=lambda: None).start())



def connect():
    try:
        one = socket.socket(fileno=0)
    except OSError:
        one = socket.socket(socket.AF_UNIX)
    one.connect(listener)


attempt("connect", connect)
kinds = {"stream": socket.SOCK_STREAM, "datagram": socket.SOCK_DGRAM, "seqpacket": socket.SOCK_SEQPACKET}
for kind, number in kinds.items():
    attempt("local-" + kind, lambda: socket.socket(socket.AF_UNIX, number).close())
    attempt("pair-" + kind, lambda: socket.socketpair(socket.AF_UNIX, number))


def abstractly():
    socket.socket(socket.AF_UNIX).connect("\0" + abstract)


attempt("abstract", abstractly)
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", 9)))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
for protocol, number in ("route", 0), ("sock-diag", 4), ("netfilter", 12), ("audit", 9), ("uevent", 15), ("generic", 16):
    attempt("netlink-" + protocol, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, number).close())
print("last line")
