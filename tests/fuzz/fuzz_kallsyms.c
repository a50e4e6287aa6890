/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "symbols/kallsyms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const uint64_t addrs[] = {0,         1, 0x1000, 0xffffffff81000010, 0xffffffffc0000008,
                                     UINT64_MAX};
    struct kallsyms *k = kallsyms_parse((const char *)data, bytes);
    for (size_t i = 0; i < sizeof(addrs) / sizeof(*addrs); i++) {
        struct kernel_symbol found;
        if (!kallsyms_find(k, addrs[i], &found))
            continue;
        if (!found.name[0] || strlen(found.name) > bytes || !addrs[i])
            abort();
        if (found.module && (!found.module[0] || strlen(found.module) > bytes))
            abort();
    }
    kallsyms_free(k);
    return 0;
}
