/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DEMANGLE_H
#define SYMBOLS_DEMANGLE_H

#include "symbols/symbols.h"

/*
 * The name as its author wrote it: C++, Rust (legacy and v0), D; others as they are. What compilers
 * append to the pieces of a function (".cold", ".part.0") is cut off: its hits are the function's.
 * Owned by the caller. Names over 64 KiB, those nested too deeply and those whose demangled form
 * would pass 64 KiB stay as linked.
 */
char *demangle_name(const char *linkage_name, enum demangle how);

#endif
