/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint64_t addrs[] = {0, 1, 0x1000, 0x7f0000000010, UINT64_MAX};
    struct perfmap *p = perfmap_parse((const char *)data, bytes);
    for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++) {
        const char *name = perfmap_find(p, addrs[i]);
        if (name && (!name[0] || strlen(name) > bytes))
            abort();
    }
    perfmap_free(p);
    return 0;
}
