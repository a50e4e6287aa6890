/* SPDX-License-Identifier: MIT */
#include "unwind/guess.h"

#include "unwind/call_site.h"
#include "unwind/stack_words.h"

bool guess_rbp(struct walk *w)
{
    uint64_t distance;
    if (walk_knows(w, DWREG_RBP))
        return false;
    if (!learnt_recall(&w->u->learnt, walk_place(w), &distance)) {
        w->out->teachable = learnt_want(&w->u->learnt, walk_place(w)) || w->out->teachable;
        return false;
    }
    w->regs.value[DWREG_RBP] = walk_sp(w) + distance;
    w->regs.known |= 1u << DWREG_RBP;
    w->guessed = w->recalled = true;
    return true;
}

/* How well a return address goes with the newest frame. */
enum fit {
    FIT_NOT,
    FIT_OTHER, /* behind a call of another function: that one has jumped here, or an older call's */
    FIT_WELL   /* also where nothing can be said */
};

static enum fit fit_of(struct walk *w, const struct mapping *code, uint64_t ip)
{
    uint64_t at, caller, target, own, called;
    if (!mapping_vaddr(code, ip - 1, &caller))
        return FIT_WELL;
    enum call_site site = call_site_before(w->u->pages, code->module, caller + 1, &target);
    if (site != CALL_DIRECT)
        return site == CALL_NONE ? FIT_NOT : FIT_WELL;
    /* of another module: by the linkage table */
    if (w->code->module != code->module || !mapping_vaddr(w->code, walk_place(w), &at) ||
        !rows_function_start(w->u->rows, code->module, target, &called) || called != target ||
        !rows_function_start(w->u->rows, code->module, at, &own))
        return FIT_WELL;
    return called != own ? FIT_OTHER : FIT_WELL;
}

void guess_teach(struct walk *w)
{
    uint64_t ip, rbp = w->regs.value[DWREG_RBP];
    if (!w->u->learnt.places.n || !walk_knows(w, DWREG_RBP) || w->guessed)
        return;
    if (!learnt_teach(&w->u->learnt, walk_place(w), rbp - walk_sp(w)))
        return;
    const struct mapping *code = stack_read(w->snap, rbp + 8, &ip) ? walk_code_at(w, ip - 1) : NULL;
    if (code && fit_of(w, code, ip) == FIT_OTHER)
        learnt_loosen(&w->u->learnt, walk_place(w));
}

/* A function with alloca is not always the same distance away from its frame, and the words there
 * are often old return addresses. */
bool guess_misled(struct walk *w, const struct mapping *code, uint64_t ip)
{
    if (!w->recalled)
        return false;
    enum fit fit = fit_of(w, code, ip);
    return fit == FIT_NOT || (fit == FIT_OTHER && !learnt_is_loose(&w->u->learnt, walk_place(w)));
}
