/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_data.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "symbols/decompress.h"

enum { CHUNK_BITS = 14, STRING_MAX_BYTES = 64 * 1024 };
enum { LEB_MAX_BYTES = 16 }; /* 10 hold 64 bits; assemblers pad some of them */
enum { PARTS_PER_ENTRY = 4 };
enum { HARDLY_BEGUN = 8 }; /* an eighth of what an address may work */
enum { RATIO_MAX = 128, RATIO_FREE_BYTES = 1 << 20 };

static const uint64_t chunk_bytes = UINT64_C(1) << CHUNK_BITS;
static const uint64_t plain_max_bytes = UINT64_C(4) << 30, packed_max_bytes = UINT64_C(1) << 30;

void debug_room_next(struct debug_room *room)
{
    room->exhausted = debug_room_exhausted(room);
    room->refusals_before = room->refusals;
    room->work = 0;
}

uint64_t debug_room_exhausted(const struct debug_room *room)
{
    return room->exhausted + (room->refusals != room->refusals_before);
}

bool debug_room_take(struct debug_room *room, uint64_t bytes)
{
    if (room->bytes > room->max_bytes || bytes > room->max_bytes - room->bytes) {
        room->refusals++;
        room->wanting = true;
        return false;
    }
    room->bytes += bytes;
    return true;
}

bool debug_room_may_grow(struct debug_room *room)
{
    bool may = room->bytes < room->max_bytes;
    room->refusals += !may;
    room->wanting |= !may;
    return may;
}

bool debug_room_work(struct debug_room *room, uint64_t entries)
{
    heartbeat_beat(room->heartbeat);
    if (room->work <= room->max_work)
        room->work += entries;
    room->refusals += room->work > room->max_work;
    return room->work <= room->max_work;
}

bool debug_room_work_parts(struct debug_room *room, uint64_t n)
{
    return debug_room_work(room, 1 + n / PARTS_PER_ENTRY);
}

bool debug_cut_retry(struct debug_cut *c, struct debug_room *room)
{
    if (!c->cut)
        return false;
    bool retry = !c->again && room->work <= room->max_work / HARDLY_BEGUN;
    c->again |= retry;
    room->refusals += !retry;
    return retry;
}

/* gABI: a header with type and size. */
static bool read_packed(struct debug_data *d)
{
    Elf64_Chdr packed;
    if (d->file_bytes < sizeof(packed) || module_read(d->m, &packed, sizeof(packed), d->off) < 0)
        return false;
    d->packing = packed.ch_type;
    d->bytes = packed.ch_size;
    d->off += sizeof(packed);
    d->file_bytes -= sizeof(packed);
    return true;
}

/* ".zdebug_info" of GNU before that, and of Go up to 1.19: "ZLIB", the size in big endian. */
static bool read_zdebug(struct debug_data *d)
{
    uint8_t packed[12];
    if (d->file_bytes < sizeof(packed) || module_read(d->m, packed, sizeof(packed), d->off) < 0 ||
        memcmp(packed, "ZLIB", 4))
        return false;
    d->packing = ELFCOMPRESS_ZLIB;
    d->bytes = 0;
    for (int i = 4; i < 12; i++)
        d->bytes = d->bytes << 8 | packed[i];
    d->off += sizeof(packed);
    d->file_bytes -= sizeof(packed);
    return true;
}

static bool is_sane(const struct debug_data *d)
{
    if (d->file_bytes > d->m->file_bytes)
        return false;
    if (!d->packing)
        return d->bytes <= plain_max_bytes;
    return decompress_knows(d->packing) && d->bytes <= packed_max_bytes &&
           d->bytes / RATIO_MAX <= d->file_bytes + RATIO_FREE_BYTES / RATIO_MAX;
}

int debug_data_init(struct debug_data *d, struct module *m, const Elf64_Shdr *h, bool zdebug,
                    struct debug_room *room)
{
    struct debug_data data = {
        .m = m, .room = room, .off = h->sh_offset, .file_bytes = h->sh_size, .bytes = h->sh_size};
    if ((h->sh_flags & SHF_COMPRESSED) ? !read_packed(&data) : zdebug && !read_zdebug(&data))
        return -EBADMSG;
    if (!is_sane(&data))
        return -EBADMSG;
    *d = data;
    return 0;
}

static size_t have_bytes(const struct debug_data *d)
{
    return (size_t)((d->bytes >> CHUNK_BITS) / 8 + 1);
}

void debug_data_release(struct debug_data *d)
{
    if (!d)
        return;
    debug_data_trim(d, true);
    if (d->base)
        munmap(d->base, d->bytes);
    free(d->have);
    memset(d, 0, sizeof(*d));
}

static uint64_t bytes_of_chunk(const struct debug_data *d, uint64_t chunk)
{
    uint64_t left = d->bytes - (chunk << CHUNK_BITS);
    return left < chunk_bytes ? left : chunk_bytes;
}

static void drop_unpacked(struct debug_data *d)
{
    munmap(d->base, d->bytes);
    d->base = NULL;
    d->room->bytes -= d->bytes;
}

void debug_data_trim(struct debug_data *d, bool packed)
{
    if (d->base && d->packing && packed)
        drop_unpacked(d);
    if (!d->base || d->packing)
        return;
    for (uint64_t i = 0; i << CHUNK_BITS < d->bytes; i++)
        if (d->have[i / 8] & 1u << (i % 8))
            d->room->bytes -= bytes_of_chunk(d, i);
    memset(d->have, 0, have_bytes(d));
    madvise(d->base, d->bytes, MADV_DONTNEED);
    mprotect(d->base, d->bytes, PROT_NONE); /* as it was, and one mapping again */
}

static uint8_t *map_bytes(uint64_t bytes, int protection)
{
    void *base = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return base == MAP_FAILED ? NULL : base;
}

/* All of it at once. Where there is no room now there may be later. */
static bool unpack(struct debug_data *d)
{
    d->bad = d->bytes > d->room->max_bytes;
    if (!debug_room_take(d->room, d->bytes))
        return false;
    struct packed packed = {.m = d->m,
                            .off = d->off,
                            .bytes = d->file_bytes,
                            .packing = d->packing,
                            .heartbeat = d->room->heartbeat};
    uint8_t *base = map_bytes(d->bytes, PROT_READ | PROT_WRITE);
    d->room->refusals += base == NULL;
    if (base && decompress(&packed, base, d->bytes) == 0) {
        d->base = base;
        return true;
    }
    d->bad = base != NULL;
    d->room->bytes -= d->bytes;
    if (base)
        munmap(base, d->bytes);
    return false;
}

/* Address space for all of it. What may be written to counts against RLIMIT_DATA whether it is used
 * or not (is_data_mapping() in the kernel's mm/internal.h): only chunks that are read may be. */
static bool reserve(struct debug_data *d)
{
    d->base = map_bytes(d->bytes, PROT_NONE);
    d->bad = d->base == NULL;
    d->room->refusals += d->bad;
    if (d->base)
        d->have = mem_alloc(have_bytes(d));
    return d->base != NULL;
}

static bool prepare(struct debug_data *d)
{
    if (d->base || !d->m || !d->bytes)
        return d->base != NULL;
    /* too much: that costs this address its lines, too */
    if (d->bad) {
        d->room->refusals += d->bytes > d->room->max_bytes;
        return false;
    }
    return d->packing ? unpack(d) : reserve(d);
}

/* Between 16 KiB chunks of 320 MiB there are 40,000 mappings at most; the kernel allows 65,530
 * (vm.max_map_count). */
static bool unlock_chunk(struct debug_data *d, uint64_t at, uint64_t bytes)
{
    bool done = mprotect(d->base + at, bytes, PROT_READ | PROT_WRITE) == 0;
    d->room->refusals += !done;
    return done;
}

static bool load_chunk(struct debug_data *d, uint64_t chunk)
{
    uint64_t at = chunk << CHUNK_BITS, bytes = bytes_of_chunk(d, chunk);
    if (d->have[chunk / 8] & 1u << (chunk % 8))
        return true;
    if (!debug_room_take(d->room, bytes))
        return false;
    if (!unlock_chunk(d, at, bytes) || module_read(d->m, d->base + at, bytes, d->off + at) < 0) {
        d->room->bytes -= bytes;
        return false;
    }
    d->have[chunk / 8] |= (uint8_t)(1u << (chunk % 8));
    return true;
}

const uint8_t *debug_data_get(struct debug_data *d, uint64_t off, uint64_t bytes)
{
    if (off >= d->bytes || bytes > d->bytes - off || !prepare(d))
        return NULL;
    if (!d->packing && bytes)
        for (uint64_t i = off >> CHUNK_BITS; i <= (off + bytes - 1) >> CHUNK_BITS; i++)
            if (!load_chunk(d, i))
                return NULL;
    return d->base + off;
}

const char *debug_data_string(struct debug_data *d, uint64_t off)
{
    if (off >= d->bytes)
        return NULL;
    for (uint64_t n = 256;; n *= 4) {
        uint64_t take = n < d->bytes - off ? n : d->bytes - off;
        const uint8_t *text = debug_data_get(d, off, take);
        if (!text)
            return NULL;
        if (memchr(text, 0, take))
            return (const char *)text;
        if (take < n || n >= STRING_MAX_BYTES)
            return NULL;
    }
}

struct debug_reader debug_reader_at(struct debug_data *d, uint64_t pos, uint64_t end)
{
    if (end > d->bytes)
        end = d->bytes;
    return (struct debug_reader){
        .d = d, .pos = pos, .end = end, .loaded = pos, .failed = pos > end};
}

static bool fail(struct debug_reader *r)
{
    r->failed = true;
    r->loaded = r->pos;
    return false;
}

/* The next bytes are there to be read. */
static bool need(struct debug_reader *r, uint64_t bytes)
{
    if (!r->failed && r->loaded - r->pos >= bytes)
        return true;
    if (r->failed || bytes > r->end - r->pos || !debug_data_get(r->d, r->pos, bytes))
        return fail(r);
    /* the whole chunk of the last byte is there then */
    r->loaded = ((r->pos + bytes - 1) | (chunk_bytes - 1)) + 1;
    if (r->loaded > r->end || r->d->packing)
        r->loaded = r->end;
    return true;
}

uint64_t debug_read_fixed(struct debug_reader *r, unsigned bytes)
{
    uint64_t value = 0;
    if (!need(r, bytes))
        return 0;
    memcpy(&value, r->d->base + r->pos, bytes);
    r->pos += bytes;
    return value;
}

uint64_t debug_read_uleb(struct debug_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < LEB_MAX_BYTES * 7 && need(r, 1); shift += 7) {
        uint8_t byte = r->d->base[r->pos++];
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    fail(r);
    return 0;
}

int64_t debug_read_sleb(struct debug_reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < LEB_MAX_BYTES * 7 && need(r, 1);) {
        uint8_t byte = r->d->base[r->pos++];
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (byte & 0x80)
            continue;
        if (shift < 64 && (byte & 0x40))
            value |= ~UINT64_C(0) << shift;
        return (int64_t)value;
    }
    fail(r);
    return 0;
}

void debug_skip(struct debug_reader *r, uint64_t bytes)
{
    if (r->failed || bytes > r->end - r->pos) {
        fail(r);
        return;
    }
    r->pos += bytes;
    if (r->loaded < r->pos)
        r->loaded = r->pos;
}

uint64_t debug_skip_string(struct debug_reader *r)
{
    uint64_t start = r->pos;
    while (need(r, 1)) {
        const uint8_t *at = r->d->base + r->pos;
        const uint8_t *zero = memchr(at, 0, r->loaded - r->pos);
        if (zero) {
            r->pos += (uint64_t)(zero - at) + 1;
            break;
        }
        r->pos = r->loaded;
    }
    return start;
}

uint64_t debug_read_length(struct debug_reader *r, bool *ret_dwarf64)
{
    uint64_t length = debug_read_fixed(r, 4);
    *ret_dwarf64 = length == 0xffffffff;
    if (*ret_dwarf64)
        return debug_read_fixed(r, 8);
    /* reserved */
    if (length >= 0xfffffff0)
        fail(r);
    return length;
}
