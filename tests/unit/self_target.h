/* SPDX-License-Identifier: MIT */
#ifndef SELF_TARGET_H
#define SELF_TARGET_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/mem.h"
#include "target/mappings.h"
#include "target/snapshot.h"

/* This process as a target. */
static struct modules modules;
static struct mappings maps;

static void give_bytes(struct module *mod, const struct mapping *m)
{
    struct stat st;
    if (m->ino) {
        mod->fd = open(m->path, O_RDONLY | O_CLOEXEC);
        cr_assert(mod->fd >= 0 && fstat(mod->fd, &st) == 0, "%s", m->path);
        mod->file_bytes = (uint64_t)st.st_size;
        return;
    }
    mod->file_bytes = m->end - m->start;
    mod->pieces = mem_alloc(sizeof(*mod->pieces));
    mod->n_pieces = 1;
    mod->pieces[0].bytes = mod->file_bytes;
    mod->pieces[0].data = mem_alloc(mod->file_bytes);
    memcpy(mod->pieces[0].data, (const void *)m->start, mod->file_bytes);
}

static void attach_module(struct mapping *m)
{
    if (!(m->prot & PROT_EXEC) || !m->path || (!m->ino && strcmp(m->path, "[vdso]") != 0))
        return;
    m->module = modules_find(&modules, m->dev, m->ino, m->path);
    if (m->module)
        return;
    m->module = modules_add(&modules, m->dev, m->ino, m->path);
    give_bytes(m->module, m);
    cr_assert_eq(module_read_headers(m->module), 0, "%s", m->path);
}

static void load_self(void)
{
    FILE *f = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0;) {
        struct mapping m;
        cr_assert_eq(mapping_parse(line, (size_t)n - 1, &m), 0, "%s", line);
        attach_module(&m);
        mappings_put(&maps, &m);
    }
    free(line);
    fclose(f);
}

static void release_self(void)
{
    mappings_release(&maps);
    modules_release(&modules);
}

/* Asked anew: a thread's stack is younger than the table. */
static uint64_t stack_end_of(uint64_t sp)
{
    release_self();
    load_self();
    return mappings_find(&maps, sp)->end;
}

/*
 * The stack of live functions, with the sanitizer's redzones and words that nobody has written yet:
 * what the kernel reads counts as defined for valgrind.
 */
static void read_own_memory(void *to, uint64_t from, size_t bytes)
{
    OX_CLOSE int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(fd, to, bytes, (off_t)from), (ssize_t)bytes);
}

/* All of it above the snapshot's RSP. Owned by the caller. */
static uint8_t *copy_own_stack(struct snapshot *snap)
{
    uint64_t sp = snap->regs.value[DWREG_RSP];
    snap->stack_addr = sp - SNAPSHOT_RED_ZONE_BYTES;
    snap->stack_bytes = stack_end_of(sp) - snap->stack_addr;
    uint8_t *copy = mem_alloc(snap->stack_bytes);
    read_own_memory(copy, snap->stack_addr, snap->stack_bytes);
    snap->stack = copy;
    return copy;
}

static struct regs regs_of(const ucontext_t *uc)
{
    /* <sys/ucontext.h>'s numbers, in the order of DWARF's */
    static const int greg[DWREG_N] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                      REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
    struct regs regs = {.known = (1u << DWREG_N) - 1};
    for (size_t i = 0; i < DWREG_N; i++)
        regs.value[i] = (uint64_t)uc->uc_mcontext.gregs[greg[i]];
    return regs;
}

#endif
