/* SPDX-License-Identifier: MIT */
#include "live/json.h"

#include <math.h>
#include <string.h>

#include "base/escape.h"
#include "base/mem.h"
#include "report/json_out.h"

void live_json_text(FILE *out, const char *text)
{
    size_t bytes = 4 * strlen(text) + 1;
    char *safe OX_FREE = mem_alloc(bytes);
    escape_text(safe, bytes, text, NULL);
    json_text(&(struct json){.out = out}, safe);
}

void live_json_number(FILE *out, double value)
{
    fprintf(out, "%.9g", isfinite(value) ? value : 0.0);
}
