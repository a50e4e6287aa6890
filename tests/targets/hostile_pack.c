/* SPDX-License-Identifier: MIT */
/*
 * hostile_pack CASE [ARG...]: targets that mean harm, and count how they fare. Signals are blocked
 * everywhere, so that the odd stacks are never used.
 *
 *   odd                         threads whose stack pointers are at places that are no stacks
 *   code FILE...                a thread in the code of each of these copies of this program
 *   maps N                      N mappings, every tenth of them executed
 *   names NAME...               a thread of each name
 *   jit [ROOT]                  code made at run time, in a root directory of its own
 *   fuse FILE DIR WORD CASE     a file system in DIR that goes silent; WORD: the requests that get
 *                               no answer; CASE: code, stack, replaced or jit
 *   reuse                       for each byte on stdin: kills the sampled child, and starts another
 *                               program's under its PID
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"
#include "hostile_code.h"
#include "hostile_fuse.h"

enum { WORKERS_MAX = 4096, PAGE = 4096, JIT_EVERY = 10 };

struct worker {
    struct hostile_work work;
    hostile_worker *code; /* where it works, or */
    uint64_t sp;          /* where its stack pointer is */
    char name[16];
};

static struct worker workers[WORKERS_MAX];
static size_t n_workers;

static void *work(void *arg)
{
    struct worker *w = arg;
    prctl(PR_SET_NAME, w->name, 0, 0, 0);
    if (w->code)
        w->code(&w->work);
    else
        hostile_work_at(&w->work, w->sp);
    return NULL;
}

static void start(const char *name, hostile_worker *code, uint64_t sp)
{
    pthread_t thread;
    pthread_attr_t attr;
    struct worker *w = &workers[n_workers++];
    if (n_workers > WORKERS_MAX)
        _exit(2);
    *w = (struct worker){.work.nap = {0, 2000000}, .code = code, .sp = sp};
    strncpy(w->name, name, sizeof(w->name) - 1);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    if (pthread_create(&thread, &attr, work, w) != 0)
        fixture_die("pthread_create");
    pthread_attr_destroy(&attr);
}

/* For how long the one that did least has worked is what counts. */
static void print_counters(void)
{
    uint64_t least = UINT64_MAX, badly = 0;
    for (size_t i = 0; i < n_workers; i++) {
        uint64_t rounds = workers[i].work.rounds;
        least = rounds < least ? rounds : least;
        badly += workers[i].work.slept_badly;
    }
    printf("workers=%zu\nleast=%lu\nslept_badly=%lu\n", n_workers, n_workers ? least : 0, badly);
    fflush(stdout);
}

static void await_end(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    while (sigwaitinfo(&set, NULL) != SIGTERM)
        continue;
    print_counters();
    _exit(0);
}

static uint8_t *map_memory(size_t bytes, int prot)
{
    uint8_t *at = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        fixture_die("mmap");
    return at;
}

/* A page that nobody will ever fill. 0 where that is not allowed. */
static uint64_t map_userfault(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) != 0)
        return 0;
    uint64_t at = (uintptr_t)map_memory(64 * PAGE, PROT_READ | PROT_WRITE);
    struct uffdio_register range = {.range = {at, 64 * PAGE}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    return ioctl(fd, UFFDIO_REGISTER, &range) == 0 ? at + 8 * PAGE : 0;
}

static void run_odd(void)
{
    uint64_t gone = (uintptr_t)map_memory(16 * PAGE, PROT_READ | PROT_WRITE);
    uint64_t huge = (uintptr_t)map_memory(1ull << 40, PROT_READ | PROT_WRITE);
    uint64_t userfault = map_userfault();
    munmap((void *)gone, 16 * PAGE);
    start("zero", NULL, 0);
    start("one", NULL, 1);
    start("top", NULL, UINT64_MAX);
    start("kernel", NULL, 0xffff888000000000);
    start("not canonical", NULL, 0x8000000000000000);
    start("last page", NULL, 0x7ffffffff000);
    start("vsyscall", NULL, 0xffffffffff600800);
    start("vdso", NULL, getauxval(AT_SYSINFO_EHDR) + 100);
    start("vvar", NULL, getauxval(AT_SYSINFO_EHDR) - PAGE);
    start("unmapped", NULL, gone + PAGE);
    start("no access", NULL, (uintptr_t)map_memory(16 * PAGE, PROT_NONE) + PAGE);
    start("huge", NULL, huge + (1ull << 39));
    start("end of huge", NULL, huge + (1ull << 40) - 8);
    start("odd", NULL, huge + 12345);
    start("code", NULL, (uintptr_t)run_odd & ~7ull);
    if (userfault)
        start("userfault", NULL, userfault);
    printf("userfault=%d\n", userfault != 0);
}

static void run_code(int n, char **files)
{
    for (int i = 0; i < n; i++) {
        int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        hostile_worker *code = fd < 0 ? NULL : hostile_code_map(fd);
        if (!code)
            fixture_die(files[i]);
        start("code", code, 0);
        close(fd);
    }
}

static hostile_worker *make_code(uint8_t *page)
{
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0 || !hostile_code_copy(page, PAGE) ||
        mprotect(page, PAGE, PROT_READ | PROT_EXEC) != 0)
        fixture_die("code at run time");
    return (hostile_worker *)(uintptr_t)page;
}

/* Neighbours differ, or the kernel would make one mapping of them. */
static void run_maps(long n)
{
    uint8_t *at = map_memory((size_t)n * PAGE, PROT_NONE);
    for (long i = 0; i < n; i += 2)
        if (mprotect(at + i * PAGE, PAGE, PROT_READ) != 0)
            fixture_die("mprotect");
    for (long i = 0; i < 200 * JIT_EVERY && i < n; i += JIT_EVERY)
        start("jit", make_code(at + i * PAGE), 0);
}

static void run_jit(const char *root)
{
    if (root && (chroot(root) != 0 || chdir("/") != 0))
        fixture_die(root);
    hostile_worker *code = make_code(map_memory(PAGE, PROT_READ));
    start("jit", code, 0);
    printf("jit=%lu\n", (uintptr_t)code);
    fflush(stdout);
}

/* ---- a file system that goes silent */

static void say_ready(int to)
{
    if (write(to, "r", 1) != 1)
        _exit(1);
}

/* A stack that has been seen to be memory turns into the silent file. */
static void replace_stack(const char *file, int ready)
{
    uint8_t *at = map_memory(64 * PAGE, PROT_READ | PROT_WRITE);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    start("replaced", NULL, (uintptr_t)at + 8 * PAGE);
    say_ready(ready);
    nanosleep(&(struct timespec){0, 400000000}, NULL);
    if (mmap(at, 64 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
        fixture_die("mmap over the stack");
    await_end();
}

static void run_on_fuse(const char *file, const char *what, int ready)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!strcmp(what, "code"))
        run_code(1, (char **)&file);
    if (!strcmp(what, "jit"))
        run_jit(NULL);
    if (!strcmp(what, "replaced"))
        replace_stack(file, ready);
    if (!strcmp(what, "stack")) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        uint8_t *at = mmap(NULL, 64 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
        if (fd < 0 || at == MAP_FAILED)
            fixture_die("mmap of a stack");
        start("stack", NULL, (uintptr_t)at + 8 * PAGE);
    }
    say_ready(ready);
    await_end();
}

static const char *read_content(const char *path, size_t *ret_bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        fixture_die(path);
    const char *content = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (content == MAP_FAILED)
        fixture_die(path);
    *ret_bytes = (size_t)st.st_size;
    return content;
}

static void serve(struct hostile_fuse *f, int ready, pid_t child, int pidfd)
{
    struct pollfd fds[] = {{f->fd, POLLIN, 0}, {ready, POLLIN, 0}};
    bool told = false, alive = true;
    int status = 0;
    while (alive) {
        poll(fds, 2, 20);
        if (fds[1].revents && !f->silent) {
            f->silent = true;
            fds[1].fd = -1;
            printf("child=%d\n", child);
            fflush(stdout);
            fixture_ready();
        }
        if (fds[0].revents)
            alive = hostile_fuse_serve(f);
        if (fixture_stop_asked() && !told) {
            told = true;
            syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        }
        if (waitpid(child, &status, WNOHANG) == child)
            alive = false;
    }
    printf("unanswered=%u\n", f->unanswered);
    fflush(stdout);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Only this process and its child see the file system, and it is gone with them. */
static void run_fuse(char **argv)
{
    struct hostile_fuse f = {.mute = hostile_fuse_opcode(argv[2])};
    char file[PATH_MAX];
    int ready[2];
    f.content = read_content(argv[0], &f.bytes);
    snprintf(file, sizeof(file), "%s/file", argv[1]);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        !hostile_fuse_mount(&f, argv[1])) {
        printf("not permitted: %s\n", strerror(errno));
        fixture_ready();
        _exit(0);
    }
    if (pipe(ready) != 0)
        fixture_die("pipe");
    pid_t child = fork();
    if (child < 0)
        fixture_die("fork");
    if (!child) {
        close(f.fd); /* held here, it would keep the file system alive */
        run_on_fuse(file, argv[3], ready[1]);
    }
    close(ready[1]);
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (pidfd < 0)
        fixture_die("pidfd_open");
    serve(&f, ready[0], child, pidfd);
}

/* ---- one PID, several processes */

NOINLINE static void sampled_work(struct hostile_work *w)
{
    while (!w->stop) {
        w->rounds += fixture_steps(w->rounds + 1, 20000) != 0;
        nanosleep(&w->nap, NULL);
    }
}

NOINLINE static void foreign_work(struct hostile_work *w)
{
    while (!w->stop) {
        w->rounds += fixture_steps(w->rounds + 2, 20000) != 0;
        nanosleep(&w->nap, NULL);
        __asm__ volatile("# foreign");
    }
}

struct child {
    pid_t pid;
    int pidfd; /* owned; what it is signalled by: a number that went wrong could be anybody's */
};

/* Under that PID, or with pid 0 under any. */
static struct child start_child(pid_t pid, void (*run)(struct hostile_work *))
{
    struct child c = {.pidfd = -1};
    struct clone_args args = {.flags = CLONE_PIDFD,
                              .pidfd = (uintptr_t)&c.pidfd,
                              .exit_signal = SIGCHLD,
                              .set_tid = pid ? (uintptr_t)&pid : 0,
                              .set_tid_size = pid ? 1 : 0};
    c.pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    if (c.pid < 0)
        fixture_die("clone3");
    if (c.pid == 0) {
        static struct hostile_work work = {.nap = {0, 50000}};
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        run(&work);
        _exit(0);
    }
    return c;
}

static void end_child(struct child *c)
{
    siginfo_t info;
    if (syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0) != 0)
        fixture_die("pidfd_send_signal");
    while (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        continue;
    close(c->pidfd);
}

static void run_reuse(void)
{
    char byte;
    bool foreign = false;
    struct child c = start_child(0, sampled_work);
    pid_t pid = c.pid;
    printf("child=%d\n", pid);
    fflush(stdout);
    fixture_ready();
    while (read(STDIN_FILENO, &byte, 1) == 1) {
        end_child(&c);
        foreign = !foreign;
        c = start_child(pid, foreign ? foreign_work : sampled_work);
        printf("%s\n", foreign ? "swapped" : "back");
        fflush(stdout);
    }
    end_child(&c);
    _exit(0);
}

int main(int argc, char **argv)
{
    const char *which = argc > 1 ? argv[1] : "";
    fixture_begin();
    alarm(600);
    if (!strcmp(which, "odd"))
        run_odd();
    else if (!strcmp(which, "code"))
        run_code(argc - 2, argv + 2);
    else if (!strcmp(which, "maps"))
        run_maps(fixture_arg(argc, argv, 2, 30000));
    else if (!strcmp(which, "jit"))
        run_jit(argv[2]);
    else if (!strcmp(which, "names"))
        for (int i = 2; i < argc; i++)
            start(argv[i], make_code(map_memory(PAGE, PROT_READ)), 0);
    else if (!strcmp(which, "fuse") && argc == 6)
        run_fuse(argv + 2);
    else if (!strcmp(which, "reuse"))
        run_reuse();
    else
        return 2;
    fixture_ready();
    await_end();
}
