/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DECOMPRESS_H
#define SYMBOLS_DECOMPRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "symbols/heartbeat.h"
#include "target/module.h"

/* ELFCOMPRESS_ZLIB; ELFCOMPRESS_ZSTD where it was built in. */
bool decompress_knows(uint32_t packing);

/* Packed bytes in a file. */
struct packed {
    struct module *m;
    uint64_t off, bytes;
    uint32_t packing;            /* ELFCOMPRESS_ZLIB, ... */
    struct heartbeat *heartbeat; /* stepped for each 64 KiB; or NULL */
};

/* Fills dst with exactly `bytes`: 0, or -EBADMSG where the packed bytes hold fewer or more, or
 * something else. Never writes behind dst. */
int decompress(const struct packed *packed, uint8_t *dst, uint64_t bytes);

/* Decompresses an xz stream (`packing` does not matter) of up to `max_bytes`: owned by the caller.
 * -EBADMSG where it is none or damaged, -E2BIG where it would be longer or take over 64 MiB of
 * working memory, -ENODATA where liblzma was not built in. */
int decompress_xz(const struct packed *packed, uint64_t max_bytes, uint8_t **ret_data,
                  uint64_t *ret_bytes);

#endif
