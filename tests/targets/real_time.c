/* SPDX-License-Identifier: MIT */
/*
 * real_time WITNESS_FILE [THREADS]: threads that compute, and look at the clock every few
 * microseconds. The file tells of each: how often it has looked; its longest gap between two looks,
 * and the longest that it was held, both in ns since it was last asked to begin anew. Held is what
 * it neither computed nor waited for a CPU: no business of the machine's load.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "fixture.h"

enum { THREADS_MAX = 16, ACCOUNT_NS = 5000000 };

struct line {
    atomic_uint_fast64_t looks, gap_ns, held_ns;
    atomic_uint_fast64_t asked, begun; /* anew, where they differ */
};

struct moment {
    uint64_t now_ns, computed_ns, waited_ns;
};

static struct line *lines;

/* The second number of schedstat is the time spent waiting for a CPU (the kernel's
 * sched-stats.rst); zero where it is not counted. */
static struct moment moment_now(int schedstat_fd)
{
    char text[128], *rest = text;
    ssize_t n = pread(schedstat_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = 0;
    strtoull(text, &rest, 10);
    struct moment m = {.waited_ns = strtoull(rest, NULL, 10)};
    m.computed_ns = fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    m.now_ns = fixture_now_ns();
    return m;
}

static void raise_to(atomic_uint_fast64_t *most, uint64_t value)
{
    if (value > *most)
        *most = value;
}

static void account(struct line *line, int schedstat_fd, struct moment *last)
{
    struct moment m = moment_now(schedstat_fd);
    uint64_t passed = m.now_ns - last->now_ns;
    uint64_t explained = m.computed_ns - last->computed_ns + m.waited_ns - last->waited_ns;
    if (passed > explained)
        raise_to(&line->held_ns, passed - explained);
    *last = m;
}

static void begin_anew(struct line *line)
{
    uint64_t asked = line->asked;
    if (line->begun == asked)
        return;
    line->gap_ns = 0;
    line->held_ns = 0;
    line->begun = asked;
}

NOINLINE static uint64_t look_and_compute(struct line *line, int schedstat_fd)
{
    uint64_t x = 1, looked = fixture_now_ns();
    struct moment accounted = moment_now(schedstat_fd);
    while (!fixture_stop_asked()) {
        x = fixture_steps(x, 2000);
        uint64_t now = fixture_now_ns();
        begin_anew(line);
        raise_to(&line->gap_ns, now - looked);
        if (now - accounted.now_ns > ACCOUNT_NS)
            account(line, schedstat_fd, &accounted);
        looked = now;
        line->looks++;
    }
    return x;
}

static void *work(void *arg)
{
    int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    uint64_t x = look_and_compute(arg, fd);
    close(fd);
    return x ? NULL : arg;
}

static void open_lines(const char *path)
{
    size_t size = THREADS_MAX * sizeof(*lines);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        fixture_die(path);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        fixture_die("mmap");
    lines = p;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    long n = fixture_arg(argc, argv, 2, 2);
    if (argc < 2 || n < 1 || n > THREADS_MAX)
        return 2;
    fixture_begin();
    open_lines(argv[1]);
    for (long i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, work, &lines[i]) != 0)
            fixture_die("pthread_create");
    fixture_ready();
    for (long i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    puts("ended=1");
    return 0;
}
