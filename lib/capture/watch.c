/* SPDX-License-Identifier: MIT */
#include "capture/watch.h"

#include <stdlib.h>

void watch_free(struct watch *w)
{
    if (!w)
        return;
    free(w->plan);
    free(w->python_name);
    free(w);
}
