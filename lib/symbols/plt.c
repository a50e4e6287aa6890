/* SPDX-License-Identifier: MIT */
#include "symbols/plt.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "symbols/symtab.h"

enum {
    ENTRY_BYTES = 16,
    CHUNK = 1024,                 /* relocations read at a time */
    RELOCATIONS_MAX = 1024 * 1024 /* looked at for one name */
};

/*
 * The GOT slot that an entry jumps through. Every kind that GNU ld, gold and lld write has one
 * `jmp *disp32(%rip)` (ff 25), behind endbr64 or a bnd prefix in some (psABI 1.0,
 * figures 5.2, 13.2).
 */
static bool jump_slot(const uint8_t *code, size_t bytes, uint64_t vaddr, uint64_t *ret_slot)
{
    for (size_t i = 0; i + 6 <= bytes; i++) {
        int32_t disp;
        if (code[i] != 0xff || code[i + 1] != 0x25)
            continue;
        memcpy(&disp, code + i + 2, sizeof(disp));
        *ret_slot = vaddr + i + 6 + (uint64_t)(int64_t)disp;
        return true;
    }
    return false;
}

/* Which symbol's address is put in the slot; 0 none. */
static uint64_t symbol_of_slot(struct module *m, const Elf64_Shdr *h, uint64_t slot)
{
    uint64_t n = h->sh_size / sizeof(Elf64_Rela);
    OX_FREE Elf64_Rela *chunk = mem_alloc(CHUNK * sizeof(Elf64_Rela));
    if (n > RELOCATIONS_MAX)
        n = RELOCATIONS_MAX;
    for (uint64_t done = 0; done < n;) {
        size_t take = n - done < CHUNK ? (size_t)(n - done) : CHUNK;
        if (module_read(m, chunk, take * sizeof(*chunk), h->sh_offset + done * sizeof(*chunk)) < 0)
            return 0;
        for (size_t i = 0; i < take; i++)
            if (chunk[i].r_offset == slot)
                return ELF64_R_SYM(chunk[i].r_info);
        done += take;
    }
    return 0;
}

static char *name_of_slot(struct module *m, const struct sections *s, uint64_t slot)
{
    static const char *const relocations[] = {".rela.plt", ".rela.dyn"};
    for (size_t i = 0; i < sizeof(relocations) / sizeof(*relocations); i++) {
        const Elf64_Shdr *h = sections_find(s, SHT_RELA, relocations[i]);
        if (!h || h->sh_link >= s->n)
            continue;
        uint64_t index = symbol_of_slot(m, h, slot);
        if (index)
            return symtab_name_of_index(m, s, &s->items[h->sh_link], index);
    }
    return NULL;
}

int plt_find(struct module *m, const struct sections *s, uint64_t vaddr,
             struct plt_entry *ret_entry)
{
    const Elf64_Shdr *h = sections_at(s, vaddr);
    if (!h)
        return -ENODATA;
    bool got = sections_named(s, h, ".plt.got");
    if (!got && !sections_named(s, h, ".plt") && !sections_named(s, h, ".plt.sec"))
        return -ENODATA;
    /* GNU ld writes .plt.got entries of 8 bytes, or 16 with endbr64; sh_entsize tells. */
    uint64_t bytes = got && h->sh_entsize == ENTRY_BYTES / 2 ? ENTRY_BYTES / 2 : ENTRY_BYTES;
    uint64_t start = vaddr - (vaddr - h->sh_addr) % bytes, slot;
    uint8_t code[ENTRY_BYTES];
    if (start + bytes - h->sh_addr > h->sh_size)
        return -ENODATA;
    *ret_entry = (struct plt_entry){.vaddr = start, .bytes = bytes};
    if (module_read_vaddr(m, code, bytes, start) == 0 && jump_slot(code, bytes, start, &slot))
        ret_entry->name = name_of_slot(m, s, slot);
    return 0;
}
