/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_EXPRESSION_H
#define UNWIND_CFI_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * May libunwind 1.6.2 evaluate this DWARF expression? It trusts what it reads: a register number
 * out of range is an access out of bounds, DW_OP_div can trap, DW_OP_skip can loop for ever.
 */
bool cfi_expression_vetted(const uint8_t *block, size_t bytes);

#endif
