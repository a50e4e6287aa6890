/* SPDX-License-Identifier: MIT */
#ifndef CMD_SAMPLE_H
#define CMD_SAMPLE_H

#include "capture/launcher.h"
#include "cmd/cmd.h"
#include "cmd/loop.h"
#include "cmd/progress.h"
#include "live/calls.h"

/* One run of `oxprof -p` or `oxprof -- CMD`. */
struct run {
    struct options opt;
    struct loop loop;
    struct guardian guardian;
    struct launcher launcher; /* pid 0: attached */
    struct session *session;
    struct progress progress;
    size_t warnings_shown;
    bool stop_asked;         /* by the user or the time: sampling has ended */
    const struct face *face; /* borrowed; NULL: the report is all that is seen */
    bool face_ended;
    uint64_t turned_ns;  /* when the face had its last turn */
    struct calls *calls; /* owned; NULL: not followed, or by the face */
};

/* Says what the session has come to warn of since, where the terminal is free for it. */
void sample_show_warnings(struct run *r);

/*
 * After session_finish(): writes the report, and says what goes with it. The exit code, after a
 * message; with a launched command that of the command, unless the report can't be written. Should
 * a stop still be to come it is ended meanwhile, and a child of ours writes.
 */
int sample_report(struct run *r);

#endif
