/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DECOMPRESS_H
#define SYMBOLS_DECOMPRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "target/module.h"

/* ELFCOMPRESS_ZLIB; ELFCOMPRESS_ZSTD where it was built in. */
bool decompress_knows(uint32_t packing);

/* Fills dst with exactly `bytes`: 0, or -EBADMSG where the packed bytes hold fewer or more, or
 * something else. Never writes behind dst. */
int decompress(struct module *m, uint64_t off, uint64_t packed_bytes, uint32_t packing,
               uint8_t *dst, uint64_t bytes);

/* Decompresses an xz stream of up to `max_bytes`: owned by the caller. -EBADMSG where it is none
 * or damaged, -E2BIG where it would be longer or take over 64 MiB of working memory, -ENODATA where
 * liblzma was not built in. */
int decompress_xz(struct module *m, uint64_t off, uint64_t packed_bytes, uint64_t max_bytes,
                  uint8_t **ret_data, uint64_t *ret_bytes);

#endif
