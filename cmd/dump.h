/* SPDX-License-Identifier: MIT */
#ifndef CMD_DUMP_H
#define CMD_DUMP_H

#include "cmd/cmd.h"

/* One thread's head line, and one line of its stack; what the target chose is escaped. */
void dump_thread(pid_t tid, const char *name, bool asleep, int64_t nr);
/* The line for what a saved thread waits for, where that was known. */
void dump_wait(const char *wait);
/* A line for each function of the tally's stack, the innermost first. */
void dump_stack(const struct profile *p, uint32_t tally, const struct report_options *opt);

/* Shows a file of saved snapshots. */
int dump_replay(const struct options *opt);

#endif
