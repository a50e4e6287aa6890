/* SPDX-License-Identifier: MIT */
#include "capture/perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* User frames are ours to find; of those in the kernel there may be as many as a snapshot holds. */
static struct perf_event_attr attr_of(uint64_t first_ns, size_t dump_bytes, bool in_kernel)
{
    return (struct perf_event_attr){
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(struct perf_event_attr),
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = first_ns,
        .disabled = 1,
        .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN |
                       PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER,
        .sample_max_stack = SNAPSHOT_KERNEL_MAX,
        .exclude_callchain_user = 1,
        .exclude_callchain_kernel = !in_kernel,
        .sample_regs_user = PERF_REGS_MASK,
        .sample_stack_user = (uint32_t)dump_bytes,
        .exclude_kernel = !in_kernel,
        .exclude_hv = 1,
        .comm = 1, /* tells of an exec */
        .comm_exec = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1, /* never wakes anybody: the ring is read at each tick */
        .wakeup_watermark = INT32_MAX,
    };
}

static int open_event(pid_t tid, uint64_t first_ns, size_t dump_bytes, bool in_kernel)
{
    struct perf_event_attr attr = attr_of(first_ns, dump_bytes, in_kernel);
    int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0 && errno == EOVERFLOW) {
        attr.sample_max_stack = 0; /* kernel.perf_event_max_stack, which is less */
        fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    }
    return fd < 0 ? -errno : fd;
}

int perf_open(struct perf_ring *r, pid_t tid, uint64_t interval_ns, uint64_t first_ns,
              size_t dump_bytes, size_t ring_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *r = (struct perf_ring){.fd = -1,
                            .data_bytes = ring_bytes,
                            .dump_bytes = dump_bytes,
                            .interval_ns = interval_ns,
                            .due_ns = interval_ns,
                            .in_kernel = true};
    int fd = open_event(tid, first_ns, dump_bytes, true);
    if (fd == -EACCES || fd == -EPERM) {
        r->in_kernel = false;
        fd = open_event(tid, first_ns, dump_bytes, false);
    }
    if (fd < 0)
        return fd;
    void *pages = mmap(NULL, page + ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (pages == MAP_FAILED || ioctl(fd, PERF_EVENT_IOC_REFRESH, 1) < 0) {
        int rc = -errno;
        if (pages != MAP_FAILED)
            munmap(pages, page + ring_bytes);
        close(fd);
        return rc;
    }
    r->fd = fd;
    r->pages = pages;
    return 0;
}

void perf_close(struct perf_ring *r)
{
    if (!r || r->fd < 0)
        return;
    munmap(r->pages, (size_t)sysconf(_SC_PAGESIZE) + r->data_bytes);
    close(r->fd);
    r->fd = -1;
}

/* One sample was asked for, and has come, which has disabled the event. */
static void make_steady(struct perf_ring *r)
{
    r->steady = ioctl(r->fd, PERF_EVENT_IOC_PERIOD, &r->interval_ns) == 0 &&
                ioctl(r->fd, PERF_EVENT_IOC_ENABLE, 0) == 0;
}

void perf_set_interval(struct perf_ring *r, uint64_t interval_ns)
{
    if (r->steady && ioctl(r->fd, PERF_EVENT_IOC_PERIOD, &interval_ns) < 0)
        return;
    r->due_ns = r->interval_ns > interval_ns ? r->interval_ns : interval_ns;
    r->interval_ns = interval_ns;
}

void perf_hold(struct perf_ring *r, bool held)
{
    ioctl(r->fd, held ? PERF_EVENT_IOC_DISABLE : PERF_EVENT_IOC_ENABLE, 0);
}

enum perf_kind perf_next(struct perf_ring *r, uint8_t *buf, struct perf_record *ret)
{
    struct perf_event_mmap_page *page = r->pages;
    struct perf_reader reader = {
        .data = (const uint8_t *)r->pages + sysconf(_SC_PAGESIZE),
        .data_bytes = r->data_bytes,
        .head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE),
        .tail = page->data_tail,
    };
    enum perf_kind kind = perf_records_next(&reader, buf, ret);
    if (kind != PERF_NOTHING)
        __atomic_store_n(&page->data_tail, reader.tail, __ATOMIC_RELEASE);
    if (kind == PERF_SAMPLED || kind == PERF_NO_REGS)
        r->due_ns = r->interval_ns;
    if (!r->steady && (kind == PERF_SAMPLED || kind == PERF_NO_REGS))
        make_steady(r);
    return kind;
}

bool perf_is_full(const struct perf_ring *r)
{
    const struct perf_event_mmap_page *page = r->pages;
    uint64_t used = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE) - page->data_tail;
    return used + r->dump_bytes + PERF_ELSE_BYTES > r->data_bytes;
}

static bool read_paranoid(int *ret)
{
    char text[32];
    int fd = open("/proc/sys/kernel/perf_event_paranoid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    *ret = (int)strtol(text, NULL, 10);
    return n > 0;
}

static int explain(int rc, struct error *err)
{
    int level = 0;
    bool known = read_paranoid(&level);
    if (known && level > 2 && (rc == -EACCES || rc == -EPERM))
        return error_set(err, rc,
                         "--capture perf: kernel.perf_event_paranoid is %d, which forbids it to "
                         "users; run as root, give oxprof CAP_PERFMON, or set it to 2",
                         level);
    switch (rc) {
    case -EACCES:
        return error_set(err, rc,
                         "--capture perf: the kernel does not allow perf_event_open "
                         "(kernel.perf_event_paranoid is %d); run as root or give oxprof "
                         "CAP_PERFMON",
                         level);
    case -EPERM:
        return error_set(err, rc,
                         "--capture perf: perf_event_open is forbidden (by seccomp, as in "
                         "containers, or by the limit of locked memory: ulimit -l, "
                         "kernel.perf_event_mlock_kb); --capture auto does without");
    case -ENOSYS:
    case -ENOENT:
        return error_set(err, rc,
                         "--capture perf: this kernel has no perf_event_open, or seccomp "
                         "hides it; --capture auto does without");
    default:
        return error_set(err, rc, "--capture perf: perf_event_open: %s", strerror(-rc));
    }
}

int perf_probe(bool *ret_in_kernel, struct error *err)
{
    enum { INTERVAL_NS = 10 * 1000 * 1000 };
    struct perf_ring ring;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int rc = perf_open(&ring, 0, INTERVAL_NS, INTERVAL_NS, PERF_DUMP_FIRST_BYTES, page);
    if (rc < 0)
        return explain(rc, err);
    if (ret_in_kernel)
        *ret_in_kernel = ring.in_kernel;
    perf_close(&ring);
    return 0;
}
