/* SPDX-License-Identifier: MIT */
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "oracles.h"
#include "unwind/stack_words.h"

struct by_elfutils {
    Dwfl *dwfl;                  /* of the mappings last seen; owned */
    uint64_t stamp;              /* which these were */
    pid_t pid;                   /* likewise */
    const struct snapshot *snap; /* of the walk under way; borrowed */
    struct oracle_stack *out;    /* likewise */
};

static int no_elf(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
                  char **file_name, Elf **elf)
{
    (void)module, (void)user, (void)name, (void)base, (void)file_name, (void)elf;
    return -1;
}

static int no_debug_file(Dwfl_Module *module, void **user, const char *name, Dwarf_Addr base,
                         const char *file_name, const char *link, GElf_Word crc, char **debug_name)
{
    (void)module, (void)user, (void)name, (void)base, (void)file_name, (void)link, (void)crc;
    (void)debug_name;
    return -1;
}

static const Dwfl_Callbacks file_callbacks = {.find_elf = no_elf, .find_debuginfo = no_debug_file};

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
    struct by_elfutils *o = arg;
    (void)dwfl;
    if (*thread)
        return 0;
    *thread = o;
    return o->snap->tid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
    (void)dwfl, (void)tid;
    *thread = arg;
    return true;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *word, void *arg)
{
    const struct by_elfutils *o = arg;
    (void)dwfl;
    return stack_read(o->snap, addr, word);
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
    const struct by_elfutils *o = arg;
    for (int reg = 0; reg < DWREG_N; reg++)
        if ((o->snap->regs.known & (1u << reg)) &&
            !dwfl_thread_state_registers(thread, reg, 1, &o->snap->regs.value[reg]))
            return false;
    dwfl_thread_state_register_pc(thread, o->snap->regs.value[DWREG_RIP]);
    return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_registers,
};

/* A descriptor that libdwfl may keep: the file's own, or one of the pieces in memory (the vDSO). */
static int descriptor_of(const struct module *m)
{
    if (m->fd >= 0)
        return fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
    int fd = m->n_pieces ? memfd_create("piece", MFD_CLOEXEC) : -1;
    for (size_t i = 0; fd >= 0 && i < m->n_pieces; i++)
        if (pwrite(fd, m->pieces[i].data, m->pieces[i].bytes, (off_t)m->pieces[i].off) < 0)
            die("a memory file can't be written");
    return fd;
}

static void report_module(Dwfl *dwfl, const struct mapping *map)
{
    uint64_t bias;
    char name[64];
    if (!oracle_bias(map, &bias))
        return;
    int fd = descriptor_of(map->module);
    if (fd < 0)
        return;
    snprintf(name, sizeof(name), "%u", map->module->id);
    if (!dwfl_report_elf(dwfl, name, map->module->path, fd, bias, true))
        close(fd);
}

static uint64_t stamp_of(const struct mappings *maps)
{
    uint64_t stamp = 1;
    for (size_t i = 0; i < maps->n; i++)
        if (maps->items[i].module)
            stamp = map_hash(stamp, maps->items[i].start, (uintptr_t)maps->items[i].module);
    return stamp;
}

static void report_all(struct by_elfutils *o, const struct mappings *maps)
{
    uint64_t stamp = stamp_of(maps);
    struct map seen = {0};
    if (o->dwfl && stamp == o->stamp && o->pid == o->snap->pid)
        return;
    dwfl_end(o->dwfl);
    o->dwfl = dwfl_begin(&file_callbacks);
    if (!o->dwfl)
        die("libdwfl can't begin");
    o->stamp = stamp;
    o->pid = o->snap->pid;
    dwfl_report_begin(o->dwfl);
    for (size_t i = 0; i < maps->n; i++) {
        uint64_t module = (uintptr_t)maps->items[i].module;
        if (!module || map_find(&seen, module, 0))
            continue;
        map_put(&seen, module, 0, 1);
        report_module(o->dwfl, &maps->items[i]);
    }
    map_release(&seen);
    dwfl_report_end(o->dwfl, NULL, NULL);
    if (!dwfl_attach_state(o->dwfl, NULL, o->pid, &thread_callbacks, o))
        die("libdwfl can't attach");
}

struct by_elfutils *by_elfutils_new(void)
{
    return mem_alloc(sizeof(struct by_elfutils));
}

void by_elfutils_free(struct by_elfutils *o)
{
    if (!o)
        return;
    dwfl_end(o->dwfl);
    free(o);
}

static int frame_add(Dwfl_Frame *frame, void *arg)
{
    struct by_elfutils *o = arg;
    Dwarf_Addr pc;
    if (!dwfl_frame_pc(frame, &pc, NULL) || o->out->n == UNWIND_FRAMES_MAX)
        return DWARF_CB_ABORT;
    o->out->addrs[o->out->n++] = pc;
    return DWARF_CB_OK;
}

void by_elfutils_walk(struct by_elfutils *o, const struct snapshot *snap,
                      const struct mappings *maps, struct oracle_stack *ret)
{
    o->snap = snap;
    o->out = ret;
    ret->n = 0;
    report_all(o, maps);
    ret->failed = dwfl_getthread_frames(o->dwfl, snap->tid, frame_add, o) != 0;
    ret->why = ret->failed ? dwfl_errmsg(-1) : "";
}

static bool covered(Dwarf_CFI *cfi, Dwarf_Addr vaddr)
{
    Dwarf_Frame *frame;
    if (!cfi || dwarf_cfi_addrframe(cfi, vaddr, &frame) != 0)
        return false;
    free(frame);
    return true;
}

enum oracle_cfi by_elfutils_cfi(struct by_elfutils *o, uint64_t addr)
{
    Dwarf_Addr bias;
    Dwfl_Module *module = dwfl_addrmodule(o->dwfl, addr);
    if (!module)
        return ORACLE_CFI_NONE;
    Dwarf_CFI *cfi = dwfl_module_eh_cfi(module, &bias);
    if (covered(cfi, addr - bias))
        return ORACLE_CFI_EH_FRAME;
    cfi = dwfl_module_dwarf_cfi(module, &bias);
    return covered(cfi, addr - bias) ? ORACLE_CFI_DEBUG_FRAME : ORACLE_CFI_NONE;
}
