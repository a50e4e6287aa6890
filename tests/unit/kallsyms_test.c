/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "symbols/kallsyms.h"

static const char text[] = "0000000000000000 A fixed_percpu_data\n"
                           "ffffffffc0000000 t ext4_file_read\t[ext4]\n"
                           "ffffffff81000000 T _stext\n"
                           "ffffffff81000000 t local_name\n"
                           "ffffffff81000000 W weak_name\n"
                           "ffffffff81000000 T longer_name\n"
                           "ffffffff81000000 T good_name\n"
                           "ffffffff81000000 T fine_name\n"
                           "ffffffff81000040 t vfs_read.part.0\n"
                           "ffffffff81000080 D some_data\n"
                           "ffffffff81000100 T _etext\n"
                           "ffffffff81000100 T another\n"
                           "no line\n"
                           "ffffffffc0000040 t half";

/* "NAME MODULE", or "". */
static const char *find(const struct kallsyms *k, uint64_t addr)
{
    static char found[80];
    struct kernel_symbol symbol;
    if (!kallsyms_find(k, addr, &symbol))
        return "";
    snprintf(found, sizeof(found), "%s %s", symbol.name, symbol.module ? symbol.module : "-");
    return found;
}

Test(kallsyms, functions)
{
    struct kallsyms *k = kallsyms_parse(text, sizeof(text) - 1);
    cr_assert_str_eq(find(k, 0), "");
    cr_assert_str_eq(find(k, 0x7f0000001000), "");
    cr_assert_str_eq(find(k, 0xffffffff80ffffff), "");
    cr_assert_str_eq(find(k, 0xffffffff81000000), "fine_name -");
    cr_assert_str_eq(find(k, 0xffffffff8100003f), "fine_name -");
    cr_assert_str_eq(find(k, 0xffffffff81000040), "vfs_read.part.0 -");
    cr_assert_str_eq(find(k, 0xffffffff810000ff), "vfs_read.part.0 -", "data are no code");
    cr_assert_str_eq(find(k, 0xffffffff81000100), "", "past the end of the code");
    cr_assert_str_eq(find(k, 0xffffffffbfffffff), "");
    cr_assert_str_eq(find(k, 0xffffffffc000003f), "ext4_file_read ext4");
    cr_assert_str_eq(find(k, UINT64_MAX), "half -");
    kallsyms_free(k);
}

/* kernel.kptr_restrict */
Test(kallsyms, hidden_and_empty)
{
    static const char hidden[] = "0000000000000000 T _stext\n0000000000000000 t x\t[ext4]\n";
    struct kallsyms *k = kallsyms_parse(hidden, sizeof(hidden) - 1);
    cr_assert_str_eq(find(k, 0), "");
    cr_assert_str_eq(find(k, UINT64_MAX), "");
    kallsyms_free(k);
    k = kallsyms_parse(NULL, 0);
    cr_assert_str_eq(find(k, 0xffffffff81000000), "");
    kallsyms_free(k);
    kallsyms_free(NULL);
}

/* The text may end anywhere. */
Test(kallsyms, every_cut)
{
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        char *copy = malloc(cut ? cut : 1); /* exactly, so that a read beyond is seen */
        memcpy(copy, text, cut);
        struct kallsyms *k = kallsyms_parse(copy, cut);
        free(copy);
        (void)find(k, 0xffffffff81000000);
        (void)find(k, UINT64_MAX);
        kallsyms_free(k);
    }
}

/* This machine's, if it is shown to us: a function that every kernel has. */
Test(kallsyms, of_this_kernel)
{
    struct kallsyms *k = kallsyms_read();
    struct kernel_symbol symbol;
    bool any = false;
    for (uint64_t addr = 0xffffffff80000000; addr < 0xffffffffff000000 && !any; addr += 1 << 16)
        any = kallsyms_find(k, addr, &symbol);
    cr_assert_eq(any, kallsyms_shown());
    kallsyms_free(k);
}
