/* SPDX-License-Identifier: MIT */
/* What users write, and what is shown to them: numbers, durations, escaping. */
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/parse.h"
#include "fuzz.h"

static void parse_all(const char *text, size_t bytes)
{
    uint64_t number;
    double decimal;
    (void)parse_u64(text, &number);
    (void)parse_duration_ns(text, &number);
    if (parse_decimal(text, &decimal) == 0 && !(decimal >= 0))
        abort();
    for (unsigned base = 8; base <= 16; base += base == 8 ? 2 : 6) {
        const char *at = text;
        if (!parse_number_at(&at, text + bytes, base, &number) && at != text)
            abort();
    }
}

/* Nothing that steers a terminal comes out. */
static void escape_all(const char *text, size_t bytes)
{
    size_t room = 4 * bytes + 1;
    char *shown = malloc(room);
    if (!shown)
        abort();
    size_t length = escape_text(shown, room, text, ";");
    if (length != strlen(shown))
        abort();
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)shown[i] < 0x20 || shown[i] == 0x7f || shown[i] == ';')
            abort();
    free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = fuzz_text(data, bytes);
    parse_all(text, strlen(text));
    escape_all(text, bytes);
    free(text);
    return 0;
}
