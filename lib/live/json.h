/* SPDX-License-Identifier: MIT */
#ifndef LIVE_JSON_H
#define LIVE_JSON_H

#include <stdio.h>

/* A JSON string, in its quotes: escape_text()'s output, with what could end a script or a string
 * (" \ < > & U+2028 U+2029) as \u escapes. */
void live_json_text(FILE *out, const char *text);

/* A JSON number; 0 for what is none. */
void live_json_number(FILE *out, double value);

#endif
