/* SPDX-License-Identifier: MIT */
/* The texts of /proc: names in them are the target's choice. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "target/proctext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = fuzz_text(data, bytes);
    struct proc_stat stat = {0};
    struct proc_status status = {0};
    struct proc_run run = {0};
    struct proc_where where = {0};
    if (proctext_stat(text, bytes, &stat) == 0 && !memchr(stat.comm, 0, sizeof(stat.comm)))
        abort();
    (void)proctext_status(text, bytes, &status);
    (void)proctext_schedstat(text, bytes, &run);
    (void)proctext_syscall(text, bytes, &where);
    free(text);
    return 0;
}
