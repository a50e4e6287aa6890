/* SPDX-License-Identifier: MIT */
#ifndef REPORT_JSON_OUT_H
#define REPORT_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Writes JSON (RFC 8259) piece by piece: keys and values in the order of the calls, commas by
 * itself. The caller opens and closes objects and lists in pairs.
 */
struct json {
    FILE *out;  /* borrowed */
    bool comma; /* something stands before in the same object or list */
};

void json_open(struct json *j, char bracket);  /* '{' or '[' */
void json_close(struct json *j, char bracket); /* '}' or ']' */
void json_key(struct json *j, const char *key);
void json_number(struct json *j, uint64_t value);
void json_signed(struct json *j, int64_t value);
/* A number that is written already: "43.09". */
void json_decimal(struct json *j, const char *number);
void json_word(struct json *j, const char *word); /* null, true, false */

/*
 * Any text: what is not UTF-8 becomes \xNN, as everywhere; control characters, those that reorder
 * text, and < > & become \uNNNN, which harm nobody within HTML or on a terminal.
 */
void json_text(struct json *j, const char *text);

/* Keys with values. */
void json_number_at(struct json *j, const char *key, uint64_t value);
void json_text_at(struct json *j, const char *key, const char *text);

#endif
