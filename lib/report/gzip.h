/* SPDX-License-Identifier: MIT */
#ifndef REPORT_GZIP_H
#define REPORT_GZIP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <zlib.h>

#include "base/error.h"

/* Compresses to a stream, without name or time: the same bytes in give the same bytes out. */
struct gzip {
    FILE *out; /* borrowed */
    z_stream z;
    uint8_t chunk[1 << 16];
};

void gzip_open(struct gzip *g, FILE *out);
void gzip_put(struct gzip *g, const void *bytes, size_t n);
/* Writes what is left; to be called once. The stream's own error says whether all went well. */
void gzip_close(struct gzip *g);

/*
 * What gzip members (RFC 1952) hold, one after the other as gzip(1) reads them; owned by the
 * caller. -EBADMSG where they are cut or damaged, -E2BIG over max_bytes.
 */
int gzip_read(const uint8_t *bytes, size_t n, size_t max_bytes, uint8_t **ret_bytes, size_t *ret_n,
              struct error *err);

#endif
