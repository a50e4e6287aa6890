# SPDX-License-Identifier: MIT
"""Threads that wait at one end of something, each named after it: python_ends.py FOLDER.

Prints "ready PORT", and ends with its input."""
import fcntl
import os
import select
import socket
import sys
import threading

folder = sys.argv[1]
kept = []


def keep(thing):
    kept.append(thing)
    return thing


def start(name, wait, *args):
    threading.Thread(target=wait, args=args, name=name, daemon=True).start()


def poll(fd):
    waiter = select.poll()
    waiter.register(fd, select.POLLIN)
    waiter.poll()


def lock(path):
    fcntl.flock(keep(open(path, "w")), fcntl.LOCK_EX)
    fcntl.flock(keep(open(path, "w")), fcntl.LOCK_EX)


def tcp(family, host):
    """Its port, and both ends of a connection."""
    listener = keep(socket.create_server((host, 0), family=family))
    made = keep(socket.create_connection(listener.getsockname()[:2]))
    return listener, made, keep(listener.accept()[0])


def unix(path):
    listener = keep(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen()
    made = keep(socket.socket(socket.AF_UNIX))
    made.connect(path)
    return listener, made, keep(listener.accept()[0])


def full(sock):
    """Sends until there is no room, then waits for some."""
    while True:
        sock.send(bytes(65536))


listener, made, accepted = tcp(socket.AF_INET, "127.0.0.1")
start("accept", listener.accept)
start("made", made.recv, 1)
start("accepted", accepted.recv, 1)
start("polled", poll, made.fileno())
start("sender", full, tcp(socket.AF_INET, "127.0.0.1")[1])
start("made-6", tcp(socket.AF_INET6, "::1")[1].recv, 1)
udp = keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
udp.bind(("127.0.0.1", 0))
start("udp", udp.recv, 1)
unix_listener, unix_made, unix_accepted = unix(os.path.join(folder, "app.sock"))
start("unix-accept", unix_listener.accept)
start("unix-made", unix_made.recv, 1)
start("unix-accepted", unix_accepted.recv, 1)
fifo = os.path.join(folder, "data.db")
os.mkfifo(fifo)
start("fifo", os.read, os.open(fifo, os.O_RDWR), 1)
hostile = os.path.join(folder, "x\n\033[31m" + "long-" * 45 + "end")
os.mkfifo(hostile)
start("hostile", os.read, os.open(hostile, os.O_RDWR), 1)
start("pipe", os.read, keep(os.pipe())[0], 1)
start("eventfd", os.read, os.eventfd(0), 8)
start("flock", lock, os.path.join(folder, "lock"))
while any(open(f"/proc/self/task/{tid}/stat").read().rpartition(")")[2].split()[0] != "S"
          for tid in os.listdir("/proc/self/task") if int(tid) != os.getpid()):
    os.sched_yield()
print("ready", listener.getsockname()[1], udp.getsockname()[1], flush=True)
sys.stdin.read()
