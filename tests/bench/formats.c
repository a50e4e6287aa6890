/* SPDX-License-Identifier: MIT */
/*
 * How long each format takes for a profile of a million samples, and how much memory: of many
 * stacks (1,000 functions, 40 deep), of 16 threads, in time. Prints a line for each.
 *
 *     formats [DISTINCT STACKS [SAMPLES]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "report/report.h"

enum { FUNCTIONS = 1000, DEPTH = 40, THREADS = 16, MODULES = 20 };

static void name_frames(struct profile *p, uint32_t frames[FUNCTIONS])
{
    for (uint32_t i = 0; i < FUNCTIONS; i++) {
        OX_FREE char *module = mem_printf("/usr/lib/libmodule%u.so.1", i % MODULES);
        OX_FREE char *function =
            mem_printf("space::Class%u<int, std::string>::method(int) const", i);
        OX_FREE char *file = mem_printf("/build/src/folder/file%u.cc", i / 7);
        struct profile_line line = {.function = intern_put(p->strings, function),
                                    .linkage_name = intern_put(p->strings, function + 7),
                                    .file = intern_put(p->strings, file),
                                    .line = i,
                                    .start_line = i / 2};
        frames[i] = profile_frame(p, 1, i * 64);
        profile_name(p, frames[i], KIND_NATIVE, profile_module(p, module, module + 9, "0123abcd"),
                     &line, 1);
    }
}

/* Stacks share their callers, as real ones do: the deeper, the fewer. */
static struct profile *make(uint64_t stacks, uint64_t samples)
{
    struct profile *p = profile_new(NULL);
    uint32_t frames[FUNCTIONS], stack[DEPTH];
    uint64_t random = 1;
    p->title = intern_put(p->strings, "pid 1 (synthetic)");
    p->mode = intern_put(p->strings, "wall clock");
    p->interval_ns = OX_NS_PER_S / 100;
    p->duration_ns = samples / THREADS * p->interval_ns;
    name_frames(p, frames);
    profile_keep_time(p);
    for (uint64_t i = 0; i < samples; i++) {
        uint64_t which = i % stacks, spread = clock_random_next(&random);
        uint32_t thread = profile_thread(p, 1, (pid_t)(1 + which % THREADS), "worker");
        for (uint64_t k = 0; k < DEPTH; k++)
            stack[k] = frames[(which >> (DEPTH - 1 - k) / 2) * 31 % FUNCTIONS];
        enum profile_state state = spread % 8 ? PROFILE_WAIT : PROFILE_CPU;
        uint32_t tally = profile_stack(p, stack, DEPTH, thread, state);
        profile_hit(p, tally, 1);
        profile_moment(p, tally, 1, 1 + i / THREADS);
    }
    return p;
}

static uint64_t peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss;
}

/* In a child, so that each has a peak of its own. */
static void measure(const struct profile *p, const char *format)
{
    static const struct report_options opt = {.version = "bench"};
    fflush(stdout);
    if (fork() != 0) {
        wait(NULL);
        return;
    }
    uint64_t before_kib = peak_kib(), start = clock_own_cpu_ns(), wall = clock_now_ns();
    FILE *out = tmpfile();
    if (out)
        setvbuf(out, NULL, _IOFBF, 1 << 18); /* as cmd/output.c does */
    int rc = out ? report_find(format)(p, &opt, out) : -1;
    printf("%-11s %6" PRIu64 " ms CPU %6" PRIu64 " ms %8ld KiB written, %7" PRIu64
           " KiB more memory%s\n",
           format, (clock_own_cpu_ns() - start) / 1000000, (clock_now_ns() - wall) / 1000000,
           out ? ftell(out) / 1024 : 0, peak_kib() - before_kib, rc ? "  FAILED" : "");
    fflush(stdout);
    _exit(0);
}

static void read_back(const struct profile *p)
{
    static const struct report_options opt = {.version = "bench"};
    char *bytes = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&bytes, &n);
    if (!out || report_pprof(p, &opt, out) < 0)
        return;
    fclose(out);
    uint64_t start = clock_own_cpu_ns(), before_kib = peak_kib();
    struct profile *back = profile_new(NULL);
    struct report_reader *r = report_reader_new(back);
    struct error err = {.text = "none"};
    int rc = report_reader_add(r, (uint8_t *)bytes, n, &err);
    printf("%-11s %6" PRIu64 " ms CPU, %" PRIu64 " KiB more memory%s\n", "read",
           (clock_own_cpu_ns() - start) / 1000000, peak_kib() - before_kib, rc ? err.text : "");
    report_reader_free(r);
    profile_free(back);
    free(bytes);
}

int main(int argc, char **argv)
{
    static const char *const formats[] = {"text", "tsv",        "json",    "folded",   "pprof",
                                          "perf", "speedscope", "firefox", "callgrind"};
    uint64_t stacks = 100000, samples = 1000000;
    if ((argc > 1 && parse_u64(argv[1], &stacks) < 0) ||
        (argc > 2 && parse_u64(argv[2], &samples) < 0) || !stacks)
        return 2;
    struct profile *p = make(stacks, samples);
    printf("%" PRIu64 " samples, %zu tallies, %zu nodes, %" PRIu64 " folded; %" PRIu64 " KiB\n",
           samples, p->n_tallies, p->n_nodes, p->folded, peak_kib());
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        measure(p, formats[i]);
    read_back(p);
    profile_free(p);
    return 0;
}
