/* SPDX-License-Identifier: MIT */
/*
 * usage: python_image_save PID RUNTIME HINT > FILE
 *
 * Saves what reading the stacks of a CPython process asks for, as a python_image.h file. RUNTIME is
 * the address of _PyRuntime in the process (hexadecimal), HINT its minor version. The process must
 * not run meanwhile: tests/targets/python_blocked.py.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "python/frames.h"
#include "python/thread_names.h"
#include "target/process.h"

struct range {
    uint64_t start, end;
};

struct recorder {
    struct process process;
    struct range *ranges;
    size_t n, cap;
};

static int record(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct recorder *r = arg;
    if (process_read(&r->process, dst, bytes, addr) != (ssize_t)bytes)
        return -EFAULT;
    r->ranges = mem_grow(r->ranges, &r->cap, r->n + 1, sizeof(*r->ranges));
    r->ranges[r->n++] = (struct range){addr, addr + bytes};
    return 0;
}

static int by_start(const void *va, const void *vb)
{
    const struct range *a = va, *b = vb;
    return (a->start > b->start) - (a->start < b->start);
}

static void merge(struct recorder *r)
{
    size_t n = 0;
    qsort(r->ranges, r->n, sizeof(*r->ranges), by_start);
    for (size_t i = 1; i < r->n; i++) {
        if (r->ranges[i].start > r->ranges[n].end)
            r->ranges[++n] = r->ranges[i];
        else if (r->ranges[i].end > r->ranges[n].end)
            r->ranges[n].end = r->ranges[i].end;
    }
    r->n = r->n ? n + 1 : 0;
}

static void put(const void *bytes, size_t n)
{
    if (fwrite(bytes, 1, n, stdout) != n)
        die("can't write");
}

static void put_u64(uint64_t value)
{
    put(&value, sizeof(value));
}

static void save(struct recorder *r, uint64_t runtime, unsigned hint)
{
    put("OXPYIMG\1", 8);
    put_u64(runtime);
    put_u64(hint);
    for (size_t i = 0; i < r->n; i++) {
        size_t bytes = r->ranges[i].end - r->ranges[i].start;
        uint8_t *copy = mem_alloc(bytes);
        if (process_read(&r->process, copy, bytes, r->ranges[i].start) != (ssize_t)bytes)
            die("the process has changed");
        put_u64(r->ranges[i].start);
        put_u64(bytes);
        put(copy, bytes);
        free(copy);
    }
}

static void ignore(void *arg, uint64_t ident, const char *name)
{
    (void)arg;
    (void)ident;
    (void)name;
}

static void read_all(const struct python_memory *m, uint64_t addr, unsigned hint)
{
    struct python_runtime runtime;
    struct python_thread *threads = NULL;
    struct python_names names;
    struct python_codes codes;
    static struct python_stack stack;
    size_t cap = 0;
    unsigned minor;
    /* the second is what the version is told by where nothing names it */
    if (python_runtime_open(m, addr, hint, &runtime, &minor) < 0 ||
        python_runtime_open(m, addr, 0, &runtime, &minor) < 0)
        die("no interpreter is known there");
    int n = python_runtime_threads(m, &runtime, &threads, &cap);
    python_names_init(&names);
    python_codes_init(&codes, &names);
    for (int i = 0; i < n; i++) {
        struct python_moment at = {.then = *m, .now = *m, .codes_copied = true, .whole = true};
        python_walk(&at, &runtime, threads[i].addr, &codes, &stack);
        if (stack.end != PYTHON_COMPLETE)
            die("a stack is torn");
    }
    uint64_t dict = 0;
    python_thread_names(m, &runtime, &dict, ignore, NULL);
    python_codes_release(&codes);
    python_names_release(&names);
    free(threads);
}

int main(int argc, char **argv)
{
    struct recorder r = {0};
    struct error err;
    if (argc != 4)
        die("usage: python_image_save PID RUNTIME HINT > FILE");
    if (process_open(&r.process, (pid_t)strtol(argv[1], NULL, 10), &err) < 0)
        die(err.text);
    struct python_memory m = {.read = record, .arg = &r};
    uint64_t runtime = strtoull(argv[2], NULL, 16);
    unsigned hint = (unsigned)strtoul(argv[3], NULL, 10);
    read_all(&m, runtime, hint);
    merge(&r);
    save(&r, runtime, hint);
    process_close(&r.process);
    free(r.ranges);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
