/* SPDX-License-Identifier: MIT */
/* Names from symbol tables. */
#include <stdlib.h>

#include "fuzz.h"
#include "symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *name = fuzz_text(data, bytes);
    for (enum demangle how = DEMANGLE_SIMPLE; how <= DEMANGLE_NONE; how++) {
        struct symbols *s = symbols_new(&(struct symbols_options){.demangle = how});
        if (!symbols_demangle(s, name))
            abort();
        symbols_free(s);
    }
    free(name);
    return 0;
}
