/* SPDX-License-Identifier: MIT */
/*
 * Programs of call frame information: a CIE's, an FDE's, and what libunwind makes of the states
 * that come out. The input: code alignment (1 byte), data alignment (1), pointer encoding (1), the
 * code's length in bytes (2), the length of the CIE's program (1), then the two programs.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "unwind/cfi_expression.h"
#include "unwind/cfi_program.h"

enum { HEAD_BYTES = 6 };
#define CODE_ADDR UINT64_C(0x1000)

struct seen {
    uint64_t next, end;
};

static void check_rule(const struct cfi_rule *rule)
{
    if (rule->where > CFI_VAL_OFFSET || rule->reg >= DWREG_N)
        abort();
    if ((rule->where == CFI_EXPRESSION || rule->where == CFI_VAL_EXPRESSION) &&
        !cfi_expression_vetted(rule->block, rule->block_bytes))
        abort();
}

/* Rows come in order, without gaps, none of them empty. */
static bool check_row(void *arg, uint64_t start, uint64_t end, const struct cfi_state *state)
{
    struct seen *seen = arg;
    if (start != seen->next || end <= start || end > seen->end || state->cfa.where == CFI_UNSAID)
        abort();
    check_rule(&state->cfa);
    for (unsigned i = 0; i < DWREG_N; i++)
        check_rule(&state->regs[i]);
    seen->next = end;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct cfi_state initial;
    if (bytes < HEAD_BYTES)
        return 0;
    struct cfi_terms terms = {
        .code_align = data[0], .data_align = (int8_t)data[1], .pointer_encoding = data[2]};
    uint64_t code_bytes = data[3] | (uint64_t)data[4] << 8;
    uint8_t *programs = (uint8_t *)fuzz_text(data + HEAD_BYTES, bytes - HEAD_BYTES);
    size_t all = bytes - HEAD_BYTES, cie = data[5] < all ? data[5] : all;
    struct cfi_reader first = {.bytes = programs, .vaddr = CODE_ADDR, .end = cie};
    struct cfi_reader second = {.bytes = programs, .vaddr = CODE_ADDR, .at = cie, .end = all};
    struct seen seen = {.next = CODE_ADDR, .end = CODE_ADDR + code_bytes};
    if (cfi_run_initial(first, &terms, &initial) == 0 &&
        cfi_run(second, &terms, &initial, seen.next, seen.end, check_row, &seen) == 0 &&
        seen.next != seen.end)
        abort();
    free(programs);
    return 0;
}
