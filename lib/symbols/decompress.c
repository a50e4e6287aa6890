/* SPDX-License-Identifier: MIT */
#include "symbols/decompress.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"

#if OX_HAVE_LZMA
#include <lzma.h>
#endif
#if OX_HAVE_ZSTD
#include <zstd.h>
#endif

enum { INPUT_BYTES = 64 * 1024 };
/* gABI, since 2022; older elf.h lack it */
#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2
#endif

/* The packed bytes, one window after the other. */
struct input {
    struct module *m;
    struct heartbeat *heartbeat;
    uint64_t off, left;
    uint8_t window[INPUT_BYTES];
};

/* Returns how many are in the window now; 0 at the end and where they can't be read. */
static size_t refill(struct input *in)
{
    size_t take = in->left < INPUT_BYTES ? (size_t)in->left : INPUT_BYTES;
    if (!take || module_read(in->m, in->window, take, in->off) < 0)
        return 0;
    in->off += take;
    in->left -= take;
    heartbeat_beat(in->heartbeat);
    return take;
}

static struct input *new_input(const struct packed *packed)
{
    struct input *in = mem_alloc(sizeof(*in));
    in->m = packed->m;
    in->heartbeat = packed->heartbeat;
    in->off = packed->off;
    in->left = packed->bytes;
    return in;
}

static int unpack_zlib(struct input *in, uint8_t *dst, uint64_t bytes)
{
    z_stream z = {.next_out = dst};
    uint64_t left = bytes;
    int rc = Z_OK;
    if (inflateInit(&z) != Z_OK)
        return -EBADMSG;
    while (rc == Z_OK) {
        if (!z.avail_in) {
            z.avail_in = (uInt)refill(in);
            z.next_in = in->window;
        }
        uInt room = left < (1u << 30) ? (uInt)left : 1u << 30;
        z.avail_out = room;
        rc = inflate(&z, Z_NO_FLUSH); /* Z_BUF_ERROR where nothing moves */
        left -= room - z.avail_out;
    }
    inflateEnd(&z);
    return rc == Z_STREAM_END && !left ? 0 : -EBADMSG;
}

#if OX_HAVE_ZSTD
static int unpack_zstd(struct input *in, uint8_t *dst, uint64_t bytes)
{
    enum { WINDOW_LOG_MAX = 27 }; /* 128 MiB: zstd's own bound for streams, ZSTD_WINDOWLOG_LIMIT */
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_outBuffer out = {.dst = dst, .size = bytes};
    ZSTD_inBuffer chunk = {.src = in->window};
    size_t rc = z ? ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX) : 0;
    bool going = z && !ZSTD_isError(rc);
    bool ended = false;
    while (going && !ended) {
        if (chunk.pos == chunk.size) {
            chunk.size = refill(in);
            chunk.pos = 0;
        }
        size_t before = out.pos + chunk.pos;
        rc = ZSTD_decompressStream(z, &out, &chunk);
        ended = rc == 0;
        going = !ZSTD_isError(rc) && out.pos + chunk.pos != before;
    }
    ZSTD_freeDStream(z);
    return ended && out.pos == bytes ? 0 : -EBADMSG;
}
#endif

bool decompress_knows(uint32_t packing)
{
    return packing == ELFCOMPRESS_ZLIB || (OX_HAVE_ZSTD && packing == ELFCOMPRESS_ZSTD);
}

int decompress(const struct packed *packed, uint8_t *dst, uint64_t bytes)
{
    OX_FREE struct input *in = new_input(packed);
    if (packed->packing == ELFCOMPRESS_ZLIB)
        return unpack_zlib(in, dst, bytes);
#if OX_HAVE_ZSTD
    if (packed->packing == ELFCOMPRESS_ZSTD)
        return unpack_zstd(in, dst, bytes);
#endif
    return -EBADMSG;
}

#if OX_HAVE_LZMA

struct output {
    uint8_t *data; /* owned */
    size_t bytes, cap;
    uint64_t max_bytes;
};

/* Room for some more of it; false where there may be no more. */
static bool make_room(struct output *out, lzma_stream *z)
{
    out->bytes = out->cap - z->avail_out;
    if (z->avail_out)
        return true;
    size_t cap = out->cap ? 2 * out->cap : INPUT_BYTES;
    if (cap > out->max_bytes)
        cap = (size_t)out->max_bytes;
    if (cap <= out->cap)
        return false;
    out->data = mem_resize(out->data, cap);
    z->next_out = out->data + out->bytes;
    z->avail_out = cap - out->bytes;
    out->cap = cap;
    return true;
}

static int unpack_xz(struct input *in, struct output *out)
{
    enum { WORKING_MAX_BYTES = 64 << 20 };
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_ret rc = lzma_stream_decoder(&z, WORKING_MAX_BYTES, 0);
    while (rc == LZMA_OK && make_room(out, &z)) {
        if (!z.avail_in) {
            z.avail_in = refill(in);
            z.next_in = in->window;
        }
        rc = lzma_code(&z, z.avail_in ? LZMA_RUN : LZMA_FINISH);
    }
    out->bytes = out->cap - z.avail_out;
    lzma_end(&z);
    if (rc == LZMA_OK || rc == LZMA_MEMLIMIT_ERROR)
        return -E2BIG;
    return rc == LZMA_STREAM_END ? 0 : -EBADMSG;
}

int decompress_xz(const struct packed *packed, uint64_t max_bytes, uint8_t **ret_data,
                  uint64_t *ret_bytes)
{
    OX_FREE struct input *in = new_input(packed);
    struct output out = {.max_bytes = max_bytes};
    int rc = unpack_xz(in, &out);
    OX_FREE uint8_t *data = out.data;
    if (rc < 0)
        return rc;
    *ret_data = OX_TAKE(data);
    *ret_bytes = out.bytes;
    return 0;
}

#else

int decompress_xz(const struct packed *packed, uint64_t max_bytes, uint8_t **ret_data,
                  uint64_t *ret_bytes)
{
    (void)packed, (void)max_bytes, (void)ret_data, (void)ret_bytes;
    return -ENODATA;
}

#endif
