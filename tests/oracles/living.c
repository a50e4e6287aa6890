/* SPDX-License-Identifier: MIT */
#include "living.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

enum { MAP_TRIES = 64 };

int living_open(struct living *l, pid_t pid, struct error *err)
{
    struct symbols_options names = {.demangle = DEMANGLE_SIMPLE};
    *l = (struct living){0};
    int rc = process_open(&l->process, pid, err);
    if (rc < 0)
        return rc;
    l->unwinder = unwinder_new();
    l->symbols = symbols_new(&names);
    living_learn(l);
    return 0;
}

void living_close(struct living *l)
{
    symbols_free(l->symbols);
    unwinder_free(l->unwinder);
    process_close(&l->process);
    modules_release(&l->modules);
}

void living_learn(struct living *l)
{
    char path[64], *line = NULL;
    size_t cap = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", l->process.pid);
    FILE *f = fopen(path, "re");
    while (f && getline(&line, &cap, f) > 0)
        if (strstr(line, "r-xp ") && strpbrk(line, "/["))
            process_map(&l->process, &l->modules, strtoull(line, NULL, 16));
    free(line);
    if (f)
        fclose(f);
}

void living_check(struct living *l)
{
    if (!process_check_mappings(&l->process))
        return;
    unwinder_forget(l->unwinder);
    living_learn(l);
}

void living_walk(struct living *l, const struct snapshot *snap, struct stack *ret_stack)
{
    unwinder_walk(l->unwinder, snap, &l->process.maps, ret_stack);
    for (int i = 0; i < MAP_TRIES && ret_stack->end == STACK_UNMAPPED; i++) {
        if (!ret_stack->miss_addr)
            return;
        process_map(&l->process, &l->modules, ret_stack->miss_addr);
        unwinder_walk_on(l->unwinder, snap, &l->process.maps, ret_stack);
    }
}

const char *living_place(struct living *l, uint64_t addr, bool exact, char *buf, size_t bytes)
{
    uint64_t vaddr, at = exact ? addr : addr - 1;
    char name[128];
    struct symbol symbol;
    const struct mapping *map = mappings_find(&l->process.maps, at);
    if (!map || !map->module || !mapping_vaddr(map, at, &vaddr)) {
        snprintf(buf, bytes, "%#" PRIx64 " (%s)", addr,
                 !map                      ? "nowhere"
                 : map->path               ? map->path
                 : (map->prot & PROT_EXEC) ? "anonymous code"
                                           : "no code");
        return buf;
    }
    module_short_name(map->module, name, sizeof(name));
    vaddr += addr - at;
    if (symbols_find(l->symbols, map->module, vaddr - (addr - at), &symbol) == 0)
        snprintf(buf, bytes, "%s+%#" PRIx64 " (%s)", symbol.name, vaddr - symbol.vaddr, name);
    else
        snprintf(buf, bytes, "%#" PRIx64 " (%s)", vaddr, name);
    return buf;
}

const char *living_function(struct living *l, uint64_t addr, bool exact, char *buf, size_t bytes)
{
    uint64_t vaddr, at = exact ? addr : addr - 1;
    char name[128];
    struct symbol symbol;
    const struct mapping *map = mappings_find(&l->process.maps, at);
    if (!map || !map->module || !mapping_vaddr(map, at, &vaddr)) {
        snprintf(buf, bytes, "%s",
                 !map                      ? "nowhere"
                 : map->path               ? map->path
                 : (map->prot & PROT_EXEC) ? "anonymous code"
                                           : "no code");
        return buf;
    }
    module_short_name(map->module, name, sizeof(name));
    if (symbols_find(l->symbols, map->module, vaddr, &symbol) == 0)
        snprintf(buf, bytes, "%s (%s)", symbol.name, name);
    else
        snprintf(buf, bytes, "? (%s)", name);
    return buf;
}

const char *living_stack_end(enum stack_end end)
{
    static const char *const names[] = {
        [STACK_COMPLETE] = "complete", [STACK_CUT] = "cut",
        [STACK_NO_CFI] = "no CFI",     [STACK_NO_REG] = "no register",
        [STACK_BAD] = "bad",           [STACK_TOO_DEEP] = "too deep",
        [STACK_TOO_MUCH] = "too much", [STACK_ELSEWHERE] = "elsewhere",
        [STACK_UNMAPPED] = "unmapped",
    };
    return (size_t)end < sizeof(names) / sizeof(*names) ? names[end] : "?";
}
