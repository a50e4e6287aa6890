/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "oracles.h"
#include "unwind/libunwind_space.h"
#include "unwind/stack_words.h"

struct by_libunwind {
    unw_addr_space_t space;
    const struct snapshot *snap; /* of the walk under way; borrowed */
    const struct mappings *maps; /* likewise */
};

/* A linker's table: pcrel sdata4 pointer, udata4 count, datarel sdata4 entries. */
static const uint8_t hdr_known[4] = {1, 0x1b, 0x03, 0x3b};
enum { HDR_BYTES = 12 };

bool oracle_bias(const struct mapping *m, uint64_t *ret_bias)
{
    enum { EXECUTABLE = 1, PAGE = 4096 };
    for (size_t i = 0; m->module && i < m->module->n_loads; i++) {
        const struct module_load *load = &m->module->loads[i];
        uint64_t skew = load->off % PAGE;
        if (!(load->flags & EXECUTABLE) || load->off - skew > m->off ||
            m->off >= load->off + load->file_bytes)
            continue;
        *ret_bias = m->start - (m->off - load->off + load->vaddr);
        return true;
    }
    return false;
}

static const struct mapping *code_at(const struct by_libunwind *o, uint64_t addr,
                                     uint64_t *ret_bias)
{
    const struct mapping *m = mappings_find(o->maps, addr);
    return m && oracle_bias(m, ret_bias) ? m : NULL;
}

/* Any byte of any module, found by where its code is mapped; writable data are not what the file
 * says and read as not there. */
static bool module_word(const struct by_libunwind *o, uint64_t addr, uint64_t *ret_word)
{
    for (size_t i = 0; i < o->maps->n; i++) {
        const struct mapping *m = &o->maps->items[i];
        uint64_t bias, off;
        if (!oracle_bias(m, &bias))
            continue;
        uint64_t wanted = addr - bias;
        if (!module_off_of_vaddr(m->module, wanted, &off))
            continue;
        for (size_t bytes = sizeof(*ret_word); bytes; bytes--) {
            *ret_word = 0;
            if (module_read_vaddr(m->module, ret_word, bytes, wanted) == 0)
                return true;
        }
    }
    return false;
}

static int access_mem(unw_addr_space_t space, unw_word_t addr, unw_word_t *word, int write,
                      void *arg)
{
    const struct by_libunwind *o = arg;
    (void)space;
    if (write)
        return -UNW_EINVAL;
    if (stack_read(o->snap, addr, word))
        return 0;
    return module_word(o, addr, word) ? 0 : -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
                      void *arg)
{
    const struct by_libunwind *o = arg;
    (void)space;
    if (write || reg < 0 || reg >= DWREG_N || !(o->snap->regs.known & (1u << reg)))
        return -UNW_EBADREG;
    *value = o->snap->regs.value[reg];
    return 0;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg)
{
    uint64_t bias;
    uint8_t hdr[HDR_BYTES];
    uint32_t count;
    const struct mapping *map = code_at(arg, ip, &bias);
    if (!map || !map->module->eh_frame_hdr_bytes ||
        module_read_vaddr(map->module, hdr, sizeof(hdr), map->module->eh_frame_hdr_vaddr) < 0 ||
        memcmp(hdr, hdr_known, sizeof(hdr_known)) != 0)
        return -UNW_ENOINFO;
    memcpy(&count, hdr + 8, sizeof(count));
    uint64_t at = bias + map->module->eh_frame_hdr_vaddr;
    unw_dyn_info_t di = {
        .format = UNW_INFO_FORMAT_REMOTE_TABLE,
        .start_ip = map->start,
        .end_ip = map->end,
        .u.rti = {.segbase = at, .table_data = at + HDR_BYTES, .table_len = count},
    };
    return _Ux86_64_dwarf_search_unwind_table(space, ip, &di, pi, need, arg);
}

struct by_libunwind *by_libunwind_new(void)
{
    const struct libunwind_access access = {
        .find_proc_info = find_proc_info, .access_mem = access_mem, .access_reg = access_reg};
    struct by_libunwind *o = mem_alloc(sizeof(*o));
    o->space = libunwind_space_new(&access);
    return o;
}

void by_libunwind_free(struct by_libunwind *o)
{
    if (!o)
        return;
    unw_destroy_addr_space(o->space);
    free(o);
}

void by_libunwind_walk(struct by_libunwind *o, const struct snapshot *snap,
                       const struct mappings *maps, struct oracle_stack *ret)
{
    unw_cursor_t cursor;
    unw_word_t ip;
    int rc = 1;
    o->snap = snap;
    o->maps = maps;
    ret->n = 0;
    if (unw_init_remote(&cursor, o->space, o) < 0)
        rc = -UNW_EBADREG;
    while (rc > 0 && ret->n < UNWIND_FRAMES_MAX) {
        if (unw_get_reg(&cursor, UNW_REG_IP, &ip) < 0 || (ret->n && !ip))
            break;
        ret->addrs[ret->n++] = ip;
        rc = unw_step(&cursor);
    }
    ret->failed = rc < 0;
    ret->why = rc < 0 ? unw_strerror(rc) : "";
}
