/* SPDX-License-Identifier: MIT */
#ifndef CMD_DUMP_H
#define CMD_DUMP_H

#include "cmd/cmd.h"

/* One thread's head line, and one line of its stack; what the target chose is escaped. */
void dump_thread(pid_t tid, const char *name, bool asleep, int64_t nr);
/* place: "app", "app.c:7", or "" */
void dump_frame(const char *function, const char *place);

/* Shows a file of saved snapshots. */
int dump_replay(const struct options *opt);

#endif
