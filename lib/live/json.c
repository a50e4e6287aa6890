/* SPDX-License-Identifier: MIT */
#include "live/json.h"

#include <math.h>
#include <string.h>

#include "base/escape.h"
#include "base/mem.h"

void live_json_text(FILE *out, const char *text)
{
    size_t bytes = 4 * strlen(text) + 1;
    char *safe OX_FREE = mem_alloc(bytes);
    escape_text(safe, bytes, text, NULL);
    putc('"', out);
    for (const char *c = safe; *c; c++)
        if (strchr("\"\\<>&", *c))
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            putc(*c, out);
    putc('"', out);
}

void live_json_number(FILE *out, double value)
{
    fprintf(out, "%.9g", isfinite(value) ? value : 0.0);
}
