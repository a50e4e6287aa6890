/* SPDX-License-Identifier: MIT */
#include "unwind/debug_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "target/sections.h"

/* ".zdebug_frame": "ZLIB", then the unpacked size, big-endian (binutils, bfd/compress.c). */
static const char old_magic[4] = {'Z', 'L', 'I', 'B'};
enum { OLD_HEAD_BYTES = 12 };

/* What a section may take once it is unpacked. */
static uint64_t limit(uint64_t room_bytes)
{
    return room_bytes < DEBUG_FRAME_BYTES_MAX ? room_bytes : DEBUG_FRAME_BYTES_MAX;
}

static int unpack(const uint8_t *packed, size_t packed_bytes, uint64_t bytes, uint64_t room_bytes,
                  uint8_t **ret_bytes, size_t *ret_n)
{
    if (bytes > limit(room_bytes))
        return -E2BIG;
    uint8_t *to OX_FREE = mem_alloc(bytes);
    uLongf n = bytes;
    if (uncompress(to, &n, packed, packed_bytes) != Z_OK || n != bytes)
        return -EBADMSG;
    *ret_bytes = OX_TAKE(to);
    *ret_n = bytes;
    return 0;
}

static int unpack_elf(const uint8_t *raw, size_t n, uint64_t room_bytes, uint8_t **ret_bytes,
                      size_t *ret_n)
{
    Elf64_Chdr head;
    if (n < sizeof(head))
        return -EBADMSG;
    memcpy(&head, raw, sizeof(head));
    if (head.ch_type != ELFCOMPRESS_ZLIB)
        return -EBADMSG;
    return unpack(raw + sizeof(head), n - sizeof(head), head.ch_size, room_bytes, ret_bytes, ret_n);
}

static int unpack_old(const uint8_t *raw, size_t n, uint64_t room_bytes, uint8_t **ret_bytes,
                      size_t *ret_n)
{
    uint64_t bytes;
    if (n < OLD_HEAD_BYTES || memcmp(raw, old_magic, sizeof(old_magic)) != 0)
        return -EBADMSG;
    memcpy(&bytes, raw + sizeof(old_magic), sizeof(bytes));
    return unpack(raw + OLD_HEAD_BYTES, n - OLD_HEAD_BYTES, __builtin_bswap64(bytes), room_bytes,
                  ret_bytes, ret_n);
}

static int read_section(struct module *m, const Elf64_Shdr *section, bool old, uint64_t room_bytes,
                        uint8_t **ret_bytes, size_t *ret_n)
{
    if (section->sh_size > limit(room_bytes))
        return -E2BIG;
    /* a header's word alone must not make us ask for memory */
    if (section->sh_size > m->file_bytes)
        return -EBADMSG;
    uint8_t *raw OX_FREE = mem_alloc(section->sh_size);
    if (module_read(m, raw, section->sh_size, section->sh_offset) < 0)
        return -EBADMSG;
    if (old)
        return unpack_old(raw, section->sh_size, room_bytes, ret_bytes, ret_n);
    if (section->sh_flags & SHF_COMPRESSED)
        return unpack_elf(raw, section->sh_size, room_bytes, ret_bytes, ret_n);
    *ret_n = section->sh_size;
    *ret_bytes = OX_TAKE(raw);
    return 0;
}

int debug_frame_read(struct module *m, uint64_t room_bytes, uint8_t **ret_bytes, size_t *ret_n)
{
    struct sections sections;
    int rc = sections_read(&sections, m);
    if (rc < 0)
        return rc;
    const Elf64_Shdr *s = sections_find(&sections, SHT_PROGBITS, ".debug_frame");
    bool old = !s;
    if (old)
        s = sections_find(&sections, SHT_PROGBITS, ".zdebug_frame");
    rc = s ? read_section(m, s, old, room_bytes, ret_bytes, ret_n) : -ENODATA;
    sections_release(&sections);
    return rc;
}
