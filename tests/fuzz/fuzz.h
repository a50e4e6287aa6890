/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "target/module.h"

/* libFuzzer's entry (llvm.org/docs/LibFuzzer.html); replay_main.c calls it with the corpus. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A malloced copy with a 0 behind it: the input as text. May contain further zeros. */
char *fuzz_text(const uint8_t *data, size_t bytes);

/* A module whose file these bytes are, its headers read. Borrowed from the table. */
struct module *fuzz_module(struct modules *table, const uint8_t *data, size_t bytes);

#endif
