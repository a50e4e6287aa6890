/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into oxprof: makes the N-th call of one function of the C library fail, as that
 * function fails, without doing anything (only what closes a descriptor has closed it all the
 * same).
 *
 *     FAULT=pread64:7:EIO          the seventh; 7+: the seventh and all after it
 *     FAULT=syscall434:1:EMFILE    syscall(2) of that number
 *     FAULT_IN=guardian            not in oxprof itself but in its first forked process; command:
 *                                  in its second, until that executes the command
 *     FAULT_FIRED=FILE             made when the call has failed
 *     FAULT_COUNT=FILE             gets, when oxprof exits, how often each function was called
 *
 * What oxprof executes is left alone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { NAME_MAX_BYTES = 32, CALLS_MAX = 128 };
enum role { NOT_READY, MAIN, GUARDIAN, COMMAND };

/* A function, or a number of syscall(2). */
struct call {
    char name[NAME_MAX_BYTES];
    unsigned long count;
};

static struct {
    enum role role, wanted;
    char name[NAME_MAX_BYTES];
    unsigned long first;
    bool and_after;
    int error;
    int forks;
    const char *fired, *count;
    struct call calls[CALLS_MAX];
    atomic_flag busy; /* held for a look at calls[]: the usher calls too */
} state = {.busy = ATOMIC_FLAG_INIT};

typedef long function(long, long, long, long, long, long);
typedef long numbered(long, long, long, long, long, long, long);

/* ISO C has no cast from dlsym()'s pointer to one to a function. */
static void find_real(void *ret_function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(ret_function, &found, sizeof(found));
}

/* Not through any function that is wrapped here. */
static long kernel(long nr, long a, long b, long c)
{
    static numbered *real;
    if (!real)
        find_real(&real, "syscall");
    return real(nr, a, b, c, 0, 0, 0);
}

static struct call *call_of(const char *name)
{
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct call *c = &state.calls[i];
        if (!c->name[0])
            strncpy(c->name, name, sizeof(c->name) - 1);
        if (!strncmp(c->name, name, sizeof(c->name) - 1))
            return c;
    }
    return NULL;
}

static unsigned long count(const char *name)
{
    while (atomic_flag_test_and_set(&state.busy))
        continue;
    struct call *c = call_of(name);
    unsigned long n = c ? ++c->count : 0;
    atomic_flag_clear(&state.busy);
    return n;
}

/* Is this call to fail? */
static bool fails(const char *name)
{
    if (state.role == NOT_READY || state.role != state.wanted)
        return false;
    unsigned long n = count(name);
    if (strcmp(name, state.name) || n < state.first || (n > state.first && !state.and_after))
        return false;
    if (state.fired && n == state.first)
        kernel(SYS_open, (long)state.fired, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    errno = state.error;
    return true;
}

/*
 * One shape for all: by the x86-64 psABI integers and pointers, the first six, come in registers,
 * whoever declared them. Their real prototypes are not to be seen here.
 */
#define SHAPE(name) name(long a, long b, long c, long d, long e, long f)
#define WRAP(name, failure)                                                           \
    long SHAPE(wrapped_##name) __asm__(#name) __attribute__((visibility("default"))); \
    long SHAPE(wrapped_##name)                                                        \
    {                                                                                 \
        static function *real;                                                        \
        if (!real)                                                                    \
            find_real(&real, #name);                                                  \
        return fails(#name) ? (long)(failure) : real(a, b, c, d, e, f);               \
    }
#define WRAP_CLOSING(name)                                                            \
    long SHAPE(wrapped_##name) __asm__(#name) __attribute__((visibility("default"))); \
    long SHAPE(wrapped_##name)                                                        \
    {                                                                                 \
        static function *real;                                                        \
        if (!real)                                                                    \
            find_real(&real, #name);                                                  \
        long result = real(a, b, c, d, e, f);                                         \
        return fails(#name) ? -1 : result;                                            \
    }
/* dlsym() may need these itself. */
#define WRAP_HEAP(name)                                                               \
    extern function __libc_##name;                                                    \
    long SHAPE(wrapped_##name) __asm__(#name) __attribute__((visibility("default"))); \
    long SHAPE(wrapped_##name)                                                        \
    {                                                                                 \
        return fails(#name) ? 0 : __libc_##name(a, b, c, d, e, f);                    \
    }

WRAP_HEAP(malloc)
WRAP_HEAP(calloc)
WRAP_HEAP(realloc)
WRAP_CLOSING(close)
WRAP_CLOSING(fclose)
WRAP_CLOSING(closedir)
WRAP(mmap64, -1)
WRAP(munmap, -1)
WRAP(open64, -1)
WRAP(openat64, -1)
WRAP(__openat64_2, -1)
WRAP(read, -1)
WRAP(pread64, -1)
WRAP(write, -1)
WRAP(lseek64, -1)
WRAP(stat64, -1)
WRAP(lstat64, -1)
WRAP(fstat64, -1)
WRAP(access, -1)
WRAP(realpath, 0)
WRAP(rename, -1)
WRAP(unlink, -1)
WRAP(fchmod, -1)
WRAP(mkostemp64, -1)
WRAP(ioctl, -1)
WRAP(isatty, 0)
WRAP(fopen64, 0)
WRAP(fdopen, 0)
WRAP(fread, 0)
WRAP(fgets, 0)
WRAP(fflush, -1)
WRAP(fdopendir, 0)
WRAP(readdir64, 0)
WRAP(getpwuid, 0)
WRAP(ptrace, -1)
WRAP(waitid, -1)
WRAP(waitpid, -1)
WRAP(kill, -1)
WRAP(pipe2, -1)
WRAP(dup2, -1)
WRAP(setpgid, -1)
WRAP(prctl, -1)
WRAP(poll, -1)
WRAP(getrandom, -1)
WRAP(getrlimit64, -1)
WRAP(setrlimit64, -1)
WRAP(getpriority, -1)
WRAP(sched_getscheduler, -1)
WRAP(sched_getaffinity, -1)
WRAP(sched_setaffinity, -1)
WRAP(sigtimedwait, -1)
WRAP(clock_nanosleep, errno)
WRAP(pthread_create, errno)
WRAP(sem_wait, -1)
WRAP(sysconf, -1)
WRAP(execvp, -1)

long wrapped_fork(void) __asm__("fork") __attribute__((visibility("default")));
long wrapped_fork(void)
{
    static function *real;
    if (!real)
        find_real(&real, "fork");
    if (fails("fork"))
        return -1;
    state.forks++;
    int pid = (int)real(0, 0, 0, 0, 0, 0);
    if (pid == 0 && state.role == MAIN)
        state.role = state.forks == 1 ? GUARDIAN : COMMAND;
    return pid;
}

long wrapped_syscall(long nr, long a, long b, long c, long d, long e, long f) __asm__("syscall")
    __attribute__((visibility("default")));
long wrapped_syscall(long nr, long a, long b, long c, long d, long e, long f)
{
    static numbered *real;
    char name[NAME_MAX_BYTES];
    if (!real)
        find_real(&real, "syscall");
    snprintf(name, sizeof(name), "syscall%ld", nr);
    return fails(name) ? -1 : real(nr, a, b, c, d, e, f);
}

static int errno_named(const char *name)
{
    for (int e = 1; e < 134; e++)
        if (strerrorname_np(e) && !strcmp(strerrorname_np(e), name))
            return e;
    fprintf(stderr, "fault_inject: no errno %s\n", name);
    _Exit(99);
}

static void parse_fault(const char *fault)
{
    const char *colon = strchr(fault, ':');
    char *end = NULL;
    if (colon && (size_t)(colon - fault) < sizeof(state.name)) {
        memcpy(state.name, fault, (size_t)(colon - fault));
        state.first = strtoul(colon + 1, &end, 10);
    }
    state.and_after = end && *end == '+';
    if (!end || end[state.and_after] != ':') {
        fprintf(stderr, "fault_inject: FAULT=%s\n", fault);
        _Exit(99);
    }
    state.error = errno_named(end + state.and_after + 1);
}

__attribute__((constructor)) static void begin(void)
{
    const char *fault = getenv("FAULT"), *in = getenv("FAULT_IN");
    state.fired = getenv("FAULT_FIRED");
    state.count = getenv("FAULT_COUNT");
    state.wanted = MAIN;
    if (in && !strcmp(in, "guardian"))
        state.wanted = GUARDIAN;
    else if (in && !strcmp(in, "command"))
        state.wanted = COMMAND;
    if (fault)
        parse_fault(fault);
    unsetenv("LD_PRELOAD");
    state.role = MAIN;
}

__attribute__((destructor)) static void give_counts(void)
{
    if (state.role != MAIN || !state.count)
        return;
    state.role = NOT_READY;
    FILE *out = fopen(state.count, "we");
    for (size_t i = 0; out && i < CALLS_MAX && state.calls[i].name[0]; i++)
        fprintf(out, "%s %lu\n", state.calls[i].name, state.calls[i].count);
    if (out)
        fclose(out);
}
