/* SPDX-License-Identifier: MIT */
#include "unwind/pages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { PAGE_BYTES = 4096, PAGE_SLOTS = 256 };

struct page {
    struct module *module; /* borrowed; NULL: empty */
    uint64_t number;
    size_t bytes; /* less than a page at the end of the file; 0: the file has no such page */
    uint8_t data[PAGE_BYTES];
};

struct pages {
    struct page slots[PAGE_SLOTS];
};

struct pages *pages_new(void)
{
    return mem_alloc(sizeof(struct pages));
}

void pages_free(struct pages *p)
{
    free(p);
}

void pages_forget(struct pages *p)
{
    for (size_t i = 0; i < PAGE_SLOTS; i++)
        p->slots[i].module = NULL;
}

static const struct page *page_get(struct pages *p, struct module *m, uint64_t number)
{
    /* neighbours of one module never collide; 97 keeps modules apart */
    struct page *slot = &p->slots[(number + m->id * UINT64_C(97)) % PAGE_SLOTS];
    if (slot->module == m && slot->number == number)
        return slot;
    uint64_t off = number * PAGE_BYTES, left = off < m->file_bytes ? m->file_bytes - off : 0;
    slot->module = m;
    slot->number = number;
    slot->bytes = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
    if (slot->bytes && module_read(m, slot->data, slot->bytes, off) < 0)
        slot->bytes = 0;
    return slot;
}

static int read_off(struct pages *p, struct module *m, uint8_t *dst, size_t bytes, uint64_t off)
{
    while (bytes) {
        const struct page *page = page_get(p, m, off / PAGE_BYTES);
        size_t at = off % PAGE_BYTES;
        if (at >= page->bytes)
            return -EFAULT;
        size_t n = page->bytes - at < bytes ? page->bytes - at : bytes;
        memcpy(dst, page->data + at, n);
        dst += n;
        off += n;
        bytes -= n;
    }
    return 0;
}

int pages_read_vaddr(struct pages *p, struct module *m, void *dst, size_t bytes, uint64_t vaddr)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct module_load *l = &m->loads[i];
        uint64_t at = vaddr - l->vaddr;
        if (vaddr >= l->vaddr && at < l->file_bytes && bytes <= l->file_bytes - at)
            return read_off(p, m, dst, bytes, l->off + at);
    }
    return -EFAULT;
}
