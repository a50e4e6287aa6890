/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DEBUGINFOD_H
#define SYMBOLS_DEBUGINFOD_H

#include <stddef.h>
#include <stdint.h>

#include "symbols/heartbeat.h"

/*
 * Asks the servers of $DEBUGINFOD_URLS for the debug file of this build, through elfutils'
 * libdebuginfod, which is loaded for it and keeps what it gets in its cache. Its other variables
 * hold too (debuginfod(7)); DEBUGINFOD_MAXTIME and DEBUGINFOD_MAXSIZE are 60 s and 2 GiB where not
 * set. Programs with raised privileges ask nobody. Not for more than one thread.
 *
 * An open file, owned by the caller; -ENODATA where nobody has it, or there is no library or
 * server. What it holds must be checked. heartbeat (or NULL) is told.
 */
int debuginfod_fetch(const uint8_t *build_id, size_t bytes, struct heartbeat *heartbeat);

#endif
