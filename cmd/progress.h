/* SPDX-License-Identifier: MIT */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include "cmd/cmd.h"

/* What the user sees on stderr meanwhile: a line redrawn four times a second on a terminal, else
 * one at the start and one at the end; beside a launched command, which may be drawing there
 * itself, and with -q, nothing. */
struct progress {
    bool quiet, terminal;
    int columns; /* of the terminal, that we use */
    bool drawn;  /* a line without its end stands on the terminal */
    uint64_t began_ns, drawn_ns;
};

void progress_begin(struct progress *p, const struct options *opt, bool launched);
void progress_update(struct progress *p, uint64_t samples, bool paused);
void progress_event(struct progress *p, const char *what);
void progress_clear(struct progress *p);
void progress_end(struct progress *p, uint64_t samples);

#endif
