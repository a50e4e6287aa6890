/* SPDX-License-Identifier: MIT */
/*
 * What an address takes to get its name, and its lines with inlined functions: random ones of all
 * code that a process has mapped from files. First with nothing read yet, then again. Prints ms of
 * CPU time for all of them; and the addresses into a file, in hexadecimal, for other programs to do
 * the same. usage: naming PID ADDRESSES FILE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "living.h"

struct place {
    struct module *module; /* borrowed */
    uint64_t addr, vaddr;
};

static size_t choose(const struct mappings *maps, struct place *places, size_t n)
{
    uint64_t seed = 1;
    size_t found = 0;
    for (size_t tries = 0; found < n && tries < 1000 * n; tries++) {
        const struct mapping *m = &maps->items[clock_random_next(&seed) % maps->n];
        struct place p = {.module = m->module,
                          .addr = m->start + clock_random_next(&seed) % (m->end - m->start)};
        if (m->module && m->module->n_loads && mapping_vaddr(m, p.addr, &p.vaddr))
            places[found++] = p;
    }
    return found;
}

static uint64_t by_name(struct symbols *s, const struct place *p)
{
    struct symbol symbol;
    return symbols_find(s, p->module, p->vaddr, &symbol) == 0;
}

static uint64_t by_lines(struct symbols *s, const struct place *p)
{
    static struct symbol_line lines[SYMBOL_LINES_MAX];
    return symbols_lines(s, p->module, p->vaddr, lines) > 0;
}

static void measure(const char *what, const struct symbols_options *opt, const struct place *places,
                    size_t n, uint64_t (*name)(struct symbols *s, const struct place *p))
{
    struct symbols *s = symbols_new(opt);
    double ms[2];
    uint64_t named = 0;
    for (int round = 0; round < 2; round++) {
        uint64_t start = clock_own_cpu_ns();
        named = 0;
        for (size_t i = 0; i < n; i++)
            named += name(s, &places[i]);
        ms[round] = (double)(clock_own_cpu_ns() - start) / 1e6;
    }
    printf("%s\t%.3f\t%.3f\t%" PRIu64 "\t%zu\n", what, ms[0], ms[1], named, n);
    symbols_free(s);
}

static int write_addresses(const char *path, const struct place *places, size_t n)
{
    FILE *f = fopen(path, "we");
    for (size_t i = 0; f && i < n; i++)
        fprintf(f, "%#" PRIx64 "\n", places[i].addr);
    return f ? fclose(f) : -1;
}

int main(int argc, char **argv)
{
    struct symbols_options tables = {.tables_only = true}, all = {0};
    struct living living;
    struct error err = {0};
    uint64_t pid, n;
    if (argc != 4 || parse_u64(argv[1], &pid) < 0 || parse_u64(argv[2], &n) < 0 || !n)
        return 2;
    if (living_open(&living, (pid_t)pid, &err) < 0 || !living.process.maps.n)
        return 1;
    struct place *places = mem_alloc(n * sizeof(*places));
    n = choose(&living.process.maps, places, n);
    measure("name", &tables, places, n, by_name);
    measure("lines", &all, places, n, by_lines);
    int rc = write_addresses(argv[3], places, n);
    living_close(&living);
    free(places);
    return rc != 0;
}
