/* SPDX-License-Identifier: MIT */
#include "target/diagnose.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/mem.h"
#include "base/parse.h"
#include "target/proctext.h"

enum { CAP_PTRACE_BIT = 19 }; /* CAP_SYS_PTRACE, include/uapi/linux/capability.h */

static ssize_t read_text(const char *path, char *buf, size_t bytes)
{
    int fd OX_CLOSE = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, bytes - 1);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t bytes)
{
    char path[80];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return read_text(path, buf, bytes);
}

static int get_stat(pid_t pid, struct proc_stat *ret)
{
    char text[1024];
    ssize_t n = read_proc(pid, "stat", text, sizeof(text));
    return n <= 0 ? -ESRCH : proctext_stat(text, (size_t)n, ret);
}

static int get_status(pid_t pid, struct proc_status *ret)
{
    char text[8192];
    ssize_t n = read_proc(pid, "status", text, sizeof(text));
    return n <= 0 ? -ESRCH : proctext_status(text, (size_t)n, ret);
}

static void user_name(uid_t uid, char *buf, size_t bytes)
{
    const struct passwd *pw = getpwuid(uid);
    if (pw)
        escape_text(buf, bytes, pw->pw_name, NULL);
    else
        snprintf(buf, bytes, "uid %u", uid);
}

void diagnose_tracer(pid_t tid, char *buf, size_t bytes)
{
    struct proc_status status;
    struct proc_stat tracer;
    char name[260];
    buf[0] = '\0';
    if (get_status(tid, &status) < 0 || !status.tracer)
        return;
    if (get_stat(status.tracer, &tracer) < 0)
        snprintf(tracer.comm, sizeof(tracer.comm), "?");
    escape_text(name, sizeof(name), tracer.comm, NULL);
    snprintf(buf, bytes, "%s (pid %d)", name, status.tracer);
}

/* An exited leader of living threads is a zombie too, but its task folder holds more than itself.
 */
static bool has_other_threads(pid_t pid)
{
    char text[8192];
    if (read_proc(pid, "status", text, sizeof(text)) <= 0)
        return false;
    const char *line = strstr(text, "\nThreads:");
    uint64_t n = 0;
    const char *p = line ? line + strlen("\nThreads:") : text;
    return line && parse_number_at(&p, text + strlen(text), 10, &n) && n > 1;
}

int diagnose_before(pid_t pid, struct error *err)
{
    struct proc_stat stat;
    char comm[260];
    if (get_stat(pid, &stat) < 0)
        return error_set(err, -ESRCH,
                         "no process %d: it has ended, or the number is wrong "
                         "(pgrep -a NAME finds it)",
                         pid);
    escape_text(comm, sizeof(comm), stat.comm, NULL);
    if (stat.state == 'Z' && !has_other_threads(pid))
        return error_set(err, -ESRCH,
                         "process %d (%s) is a zombie: it has ended and waits for its "
                         "parent (pid %d) to notice",
                         pid, comm, stat.ppid);
    if (stat.flags & PROC_FLAG_KTHREAD)
        return error_set(err, -EPERM,
                         "process %d (%s) is a kernel thread: it has no program to "
                         "profile (perf record -g -p %d shows the kernel's side)",
                         pid, comm, pid);
    if (pid == getpid())
        return error_set(err, -EPERM, "process %d is oxprof itself: name another process", pid);
    return 0;
}

static bool have_ptrace_capability(void)
{
    char text[8192];
    read_proc(getpid(), "status", text, sizeof(text));
    const char *line = strstr(text, "\nCapEff:");
    uint64_t caps = 0;
    const char *p = line ? line + strlen("\nCapEff:") : text;
    return line && parse_number_at(&p, text + strlen(text), 16, &caps) &&
           (caps >> CAP_PTRACE_BIT & 1);
}

/* Documentation/admin-guide/LSM/Yama.rst; -1 where the kernel has no Yama */
static int yama_scope(void)
{
    char text[16];
    uint64_t scope;
    const char *p = text;
    ssize_t n = read_text("/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));
    return n > 0 && parse_number_at(&p, text + n, 10, &scope) ? (int)scope : -1;
}

static int refused(pid_t pid, struct error *err)
{
    struct proc_status status;
    char user[80], me[80], tracer[360];
    if (get_status(pid, &status) < 0)
        return error_set(err, -ESRCH, "process %d has just ended", pid);
    int scope = yama_scope();
    diagnose_tracer(pid, tracer, sizeof(tracer));
    const char *also = tracer[0] ? "; it is also traced by " : "";
    user_name(status.uid, user, sizeof(user));
    user_name(geteuid(), me, sizeof(me));
    if (geteuid() != 0 && (status.uid != geteuid() || status.euid != geteuid()))
        return error_set(err, -EPERM,
                         "process %d runs as user %s and you are %s: run oxprof as %s%s "
                         "(sudo oxprof -p %d)%s%s",
                         pid, user, me, user, status.uid ? " or as root" : "", pid, also, tracer);
    if (scope >= 3)
        return error_set(err, -EPERM,
                         "process %d: Yama forbids all tracing until the next boot "
                         "(kernel.yama.ptrace_scope is 3)%s%s",
                         pid, also, tracer);
    if (scope > 0 && !have_ptrace_capability())
        return error_set(err, -EPERM,
                         "process %d: Yama lets only %s trace others "
                         "(kernel.yama.ptrace_scope is %d): run oxprof as root, start the program "
                         "under it (oxprof -- CMD), or sysctl kernel.yama.ptrace_scope=0",
                         pid, scope == 1 ? "parents or root" : "root", scope);
    if (!have_ptrace_capability() && geteuid() == 0)
        return error_set(err, -EPERM,
                         "process %d: root without CAP_SYS_PTRACE, as in containers: "
                         "start the container with --cap-add=SYS_PTRACE, or run oxprof on the host",
                         pid);
    return error_set(err, -EPERM,
                     "process %d may not be read: it has made itself undumpable, or runs "
                     "with privileges that you lack (setuid program, file capabilities, "
                     "another user namespace): run oxprof as root%s%s",
                     pid, also, tracer);
}

int diagnose_refusal(pid_t pid, int rc, struct error *err)
{
    int before = diagnose_before(pid, err);
    if (before < 0)
        return before;
    if (rc == -EACCES || rc == -EPERM)
        return refused(pid, err);
    if (rc == -ESRCH || rc == -ENOENT)
        return error_set(err, -ESRCH, "process %d has just ended", pid);
    if (rc == -EMFILE || rc == -ENFILE)
        return error_set(err, rc, "process %d: too many open files (raise ulimit -n)", pid);
    return error_set(err, rc, "process %d can't be opened: %s", pid, strerror(-rc));
}

int diagnose_program(pid_t pid, struct error *err)
{
    char path[64];
    unsigned char ident[20];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    int fd OX_CLOSE = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || pread(fd, ident, sizeof(ident), 0) != (ssize_t)sizeof(ident))
        return 0; /* not readable is no reason: an exited leader's exe is not */
    if (memcmp(ident, ELFMAG, SELFMAG))
        return 0;
    unsigned machine = ident[18] | (unsigned)ident[19] << 8;
    if (ident[EI_CLASS] == ELFCLASS64 && machine == EM_X86_64)
        return 0;
    return error_set(err, -ENOTSUP,
                     "process %d is a %s program; oxprof profiles 64-bit x86-64 programs "
                     "only, for now (perf record -p %d can sample it)",
                     pid,
                     machine == EM_386      ? "32-bit x86"
                     : machine == EM_X86_64 ? "32-bit (x32)"
                                            : "non-x86-64",
                     pid);
}
