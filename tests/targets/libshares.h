/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_LIBSHARES_H
#define TARGETS_LIBSHARES_H

#include <stdint.h>

/* Computes so many steps in a shared library. */
uint64_t library_work(uint64_t x, uint64_t steps);

#endif
