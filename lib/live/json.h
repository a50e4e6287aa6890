/* SPDX-License-Identifier: MIT */
#ifndef LIVE_JSON_H
#define LIVE_JSON_H

#include <stdio.h>

/* json_text() of escape_text()'s output: what would do harm is seen, as in reports. */
void live_json_text(FILE *out, const char *text);

/* A JSON number; 0 for what is none. */
void live_json_number(FILE *out, double value);

#endif
