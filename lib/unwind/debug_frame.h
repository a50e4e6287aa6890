/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_DEBUG_FRAME_H
#define UNWIND_DEBUG_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "target/module.h"

/* Of the section, compressed or not. */
enum { DEBUG_FRAME_BYTES_MAX = 64 << 20 };

/*
 * A module's .debug_frame, unpacked: SHF_COMPRESSED with zlib, and .zdebug_frame, which Go's
 * linker wrote up to 1.18. 0 with *ret_bytes owned by the caller; -ENODATA where there is none;
 * -E2BIG beyond room_bytes or the limit above; -EBADMSG, for unknown compressions (zstd) as well.
 */
int debug_frame_read(struct module *m, uint64_t room_bytes, uint8_t **ret_bytes, size_t *ret_n);

#endif
