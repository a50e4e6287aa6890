/* SPDX-License-Identifier: MIT */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stddef.h>

/*
 * The one escaper for whatever comes from the target or its files and goes to a person: symbols,
 * paths, thread and command names. C0 and C1 control characters, DEL, bytes that are not valid
 * UTF-8, and the characters that reorder or hide text (U+200B-200F, U+2028-202E, U+2060-2069,
 * U+FEFF) become \xNN, byte by byte. Also `extra`: further ASCII characters to escape, may be NULL.
 *
 * Always terminates dst; cuts between characters where dst_bytes are too few. Returns the length
 * written. 4 bytes for each byte of src plus one always suffice.
 */
size_t escape_text(char *dst, size_t dst_bytes, const char *src, const char *extra);

/* The length in bytes of the UTF-8 character at s, or 0 where s holds no valid one (RFC 3629). */
size_t escape_utf8_len(const char *s, size_t bytes);

#endif
