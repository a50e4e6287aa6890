/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "symbols/symbols.h"

/* Made by syscalls.sh while building. */
static const char *const names[] = {
#include "symbols/syscalls_table.h"
};

const char *syscall_name(int64_t number)
{
    return number >= 0 && (uint64_t)number < sizeof(names) / sizeof(*names) ? names[number] : NULL;
}
