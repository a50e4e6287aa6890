/* SPDX-License-Identifier: MIT */
#include "report/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* zlib.h: 15 bits of window, and 16 for gzip's header. */
enum { GZIP_WINDOW = 15 + 16, LEVEL = 5, MEMORY = 8 };

void gzip_open(struct gzip *g, FILE *out)
{
    *g = (struct gzip){.out = out};
    if (deflateInit2(&g->z, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
        die("out of memory");
}

static void deflate_all(struct gzip *g, int flush)
{
    do {
        g->z.next_out = g->chunk;
        g->z.avail_out = sizeof(g->chunk);
        deflate(&g->z, flush);
        fwrite(g->chunk, 1, sizeof(g->chunk) - g->z.avail_out, g->out);
    } while (!g->z.avail_out);
}

void gzip_put(struct gzip *g, const void *bytes, size_t n)
{
    const uint8_t *at = bytes;
    for (size_t part; n; at += part, n -= part) {
        part = n < 1u << 30 ? n : 1u << 30;
        g->z.next_in = (uint8_t *)(uintptr_t)at;
        g->z.avail_in = (unsigned)part;
        deflate_all(g, Z_NO_FLUSH);
    }
}

void gzip_close(struct gzip *g)
{
    g->z.next_in = NULL;
    g->z.avail_in = 0;
    deflate_all(g, Z_FINISH);
    deflateEnd(&g->z);
}

struct inflation {
    z_stream z;
    uint8_t *bytes; /* owned */
    size_t n, cap, max;
};

static int grow(struct inflation *f, struct error *err)
{
    enum { FIRST = 1 << 16 };
    if (f->n == f->max)
        return error_set(err, -E2BIG, "it unpacks to more than %zu MiB", f->max >> 20);
    size_t want = f->cap ? 2 * f->cap : FIRST;
    f->cap = want < f->max ? want : f->max;
    f->bytes = mem_resize(f->bytes, f->cap);
    return 0;
}

/* One member, or a part of it: 1 where it has ended. */
static int inflate_some(struct inflation *f, struct error *err)
{
    int rc = f->n == f->cap ? grow(f, err) : 0;
    if (rc < 0)
        return rc;
    size_t room = f->cap - f->n < UINT32_MAX / 2 ? f->cap - f->n : UINT32_MAX / 2;
    f->z.next_out = f->bytes + f->n;
    f->z.avail_out = (unsigned)room;
    int z = inflate(&f->z, Z_NO_FLUSH);
    f->n += room - f->z.avail_out;
    if (z == Z_STREAM_END)
        return 1;
    if (z == Z_BUF_ERROR || (z == Z_OK && !f->z.avail_in && f->z.avail_out))
        return error_set(err, -EBADMSG, "it is cut short: the compressed data has no end");
    if (z == Z_MEM_ERROR)
        die("out of memory");
    return z == Z_OK ? 0 : error_set(err, -EBADMSG, "its compressed data is damaged");
}

static int inflate_all(struct inflation *f, struct error *err)
{
    for (;;) {
        int rc = inflate_some(f, err);
        if (rc < 0)
            return rc;
        if (rc == 0)
            continue;
        if (!f->z.avail_in)
            return 0;
        inflateReset(&f->z);
    }
}

int gzip_read(const uint8_t *bytes, size_t n, size_t max_bytes, uint8_t **ret_bytes, size_t *ret_n,
              struct error *err)
{
    struct inflation f = {.max = max_bytes};
    if (n > UINT32_MAX)
        return error_set(err, -E2BIG, "it has more than 4 GiB");
    if (inflateInit2(&f.z, GZIP_WINDOW) != Z_OK)
        die("out of memory");
    f.z.next_in = (uint8_t *)(uintptr_t)bytes;
    f.z.avail_in = (unsigned)n;
    int rc = inflate_all(&f, err);
    inflateEnd(&f.z);
    if (rc < 0) {
        free(f.bytes);
        return rc;
    }
    *ret_bytes = f.bytes;
    *ret_n = f.n;
    return 0;
}
