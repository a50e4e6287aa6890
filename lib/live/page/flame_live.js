/* SPDX-License-Identifier: MIT */
"use strict";

/* Feeds the viewer: window.oxprof.render() once, then update() while the page is seen. */
const stacks = new URL("api/stacks" + window.location.search, window.location.href);
let known = false;

async function refresh() {
    try {
        const answer = await fetch(stacks, {cache: "no-store"});
        if (answer.ok) {
            const data = await answer.json();
            if (known) window.oxprof.update(data);
            else window.oxprof.render(data);
            known = true;
        }
    } finally {
        setTimeout(refreshSeen, 2000);
    }
}

function refreshSeen() {
    if (document.hidden) document.addEventListener("visibilitychange", refreshSeen, {once: true});
    else refresh().catch(() => {});
}

refresh().catch(() => {});
