/* SPDX-License-Identifier: MIT */
#ifndef LIVE_WEB_H
#define LIVE_WEB_H

#include "live/feed.h"
#include "live/listen.h"
#include "live/users.h"

/*
 * The page: a thread of its own that answers HTTP from its own copy of the counts. It takes no lock
 * that the sampler takes. To be begun before the session, whose thread changes its own priority and
 * CPU, which a thread begun later would inherit.
 */
struct web;

/* feed, listening (but for its socket) and users are borrowed; users NULL: whoever has the address
 * may look and control. Every signal must be blocked. */
int web_start(struct web **ret, struct feed *feed, struct listening *listening, struct users *users,
              struct error *err);

/* What to open in a browser. For a Unix socket: the path to ask for. */
const char *web_address(const struct web *w);

void web_end(struct web *w);

#endif
