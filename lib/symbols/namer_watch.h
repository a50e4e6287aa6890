/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_WATCH_H
#define SYMBOLS_NAMER_WATCH_H

#include "symbols/namer_process.h"

/* For how long a namer's process has given no answer, and no sign of life: see symbols/namer.h. */
struct namer_watch {
    uint64_t looked_ns;
    uint64_t waited_ns, downloads_ns; /* since the last answer: but for downloads, in downloads */
    uint64_t beats, silent_ns;        /* its signs of life, and how long there was none */
    uint64_t cpu_then_ns;             /* of the process, when it fell silent */
};

/* There was an answer, or it had nothing to do. */
void namer_watch_progress(struct namer_watch *w);

/* 0; where it is late, the time that it may take. p has a process. */
uint64_t namer_watch_look(struct namer_watch *w, const struct namer_options *opt,
                          const struct namer_process *p);

#endif
