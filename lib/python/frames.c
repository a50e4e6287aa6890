/* SPDX-License-Identifier: MIT */
#include "python/frames.h"

#include <errno.h>
#include <string.h>

struct walk {
    const struct python_moment *at;
    const struct python_memory *m; /* of that moment */
    const struct python_layout *l;
    struct python_codes *codes;
    struct python_stack *out;
    uint64_t frame;     /* the next one */
    uint64_t cframe;    /* 3.11, 3.12: of the call of the evaluator that runs it */
    uint64_t innermost; /* the first cframe */
    size_t shims;       /* without a frame between them: a cycle ends somewhere */
    bool doubtful;      /* torn where something was there that could not be told */
};

/* _PyStackRef of 3.14: bits that say who owns the reference (Include/internal/pycore_stackref.h).
 * Objects are aligned to 8. */
static uint64_t untagged(uint64_t ref)
{
    return ref & ~UINT64_C(7);
}

static bool end_with(struct walk *w, enum python_end end)
{
    w->out->end = end;
    return false;
}

/*
 * Where the frame is in its instructions, in bytes. Before 3.11 f_lasti: bytes until 3.9, then
 * units of two. Since then a pointer; until 3.12 it points to the unit before the next instruction,
 * which is part of the present one or, in a new frame, before the first.
 */
static int64_t offset_in_code(const struct walk *w, const uint8_t *frame, uint64_t code)
{
    const struct python_layout *l = w->l;
    if (l->minor < 11) {
        int32_t lasti = (int32_t)python_u32_at(frame, l->frame_instr);
        return l->minor == 10 ? (int64_t)lasti * 2 : lasti;
    }
    uint64_t start = code + l->code_instrs, at = python_u64_at(frame, l->frame_instr);
    if (l->frame_tlbc != OX_PYTHON_NONE) {
        /* struct _PyCodeArray: size, then pointers to each thread's copy of the instructions */
        uint64_t arrays, copy;
        uint32_t index = python_u32_at(frame, l->frame_tlbc);
        if (index && python_read_u64(&w->at->now, code + l->code_tlbc, &arrays) == 0 &&
            python_read_u64(&w->at->now, arrays + 8 + 8 * (uint64_t)index, &copy) == 0)
            start = copy;
    }
    return (int64_t)(at - start);
}

static bool add_frame(struct walk *w, const uint8_t *frame)
{
    const struct python_code *code;
    uint64_t addr = untagged(python_u64_at(frame, w->l->frame_code));
    if (w->out->n == PYTHON_STACK_MAX)
        return end_with(w, PYTHON_TOO_DEEP);
    int rc = python_codes_get(w->codes, w->at, w->l, addr, &code);
    w->doubtful = rc == -EAGAIN;
    if (rc < 0)
        return end_with(w, PYTHON_TORN);
    int64_t off = offset_in_code(w, frame, addr);
    w->out->frames[w->out->n++] = (struct python_frame){
        .function = code->function,
        .line = python_lines_find(&code->lines, off, code->first_line),
        .last = w->l->frames == PYTHON_FRAME_OBJECTS,
    };
    w->shims = 0;
    return true;
}

static void end_group(struct walk *w, uint64_t c_addr)
{
    if (!w->out->n)
        return;
    struct python_frame *f = &w->out->frames[w->out->n - 1];
    f->last = true;
    f->c_addr = c_addr;
}

/*
 * From the outermost frame that a call of the evaluator runs to its caller's, which goes on with
 * the frame below: the caller's cframe says so too, where there are any. If not, what this call's
 * own cframe holds is of an earlier one (see restart_at_caller()).
 */
static bool to_caller(struct walk *w, uint64_t previous, uint64_t c_addr)
{
    uint64_t frame;
    if (w->l->cframe_frame != OX_PYTHON_NONE &&
        (python_read_u64(w->m, w->cframe + w->l->cframe_previous, &w->cframe) < 0 ||
         python_read_u64(w->m, w->cframe + w->l->cframe_frame, &frame) < 0 || frame != previous))
        return end_with(w, PYTHON_TORN);
    end_group(w, c_addr);
    return true;
}

static bool is_shim(const struct walk *w, const uint8_t *frame)
{
    return w->l->frames == PYTHON_FRAMES_SHIM && frame[w->l->frame_owner] >= w->l->owner_shim;
}

/* A frame that is just being made has no caller yet, but the thread's first is one that a call of
 * the evaluator began with. */
static bool is_whole(const struct python_stack *s)
{
    return !s->n || s->frames[s->n - 1].last;
}

static bool step(struct walk *w)
{
    uint8_t frame[PYTHON_FRAME_BYTES_MAX];
    if (!w->frame)
        return end_with(w, is_whole(w->out) ? PYTHON_COMPLETE : PYTHON_TORN);
    if (w->frame % 8 || python_read(w->m, frame, w->l->frame_bytes, w->frame) < 0)
        return end_with(w, PYTHON_TORN);
    uint64_t previous = python_u64_at(frame, w->l->frame_previous);
    if (is_shim(w, frame)) {
        if (w->shims++ == PYTHON_STACK_MAX)
            return end_with(w, PYTHON_TORN);
        if (!to_caller(w, previous, w->frame))
            return false;
    } else if (!add_frame(w, frame)) {
        return false;
    }
    if (w->l->frames == PYTHON_FRAMES_3_11 && frame[w->l->frame_is_entry] &&
        !to_caller(w, previous, w->cframe))
        return false;
    w->frame = previous;
    return true;
}

static int begin(struct walk *w, uint64_t thread)
{
    uint64_t at;
    if (python_read_u64(w->m, thread + w->l->thread_frame, &at) < 0)
        return -EFAULT;
    w->frame = at;
    if (w->l->cframe_frame == OX_PYTHON_NONE || !at)
        return 0;
    w->cframe = w->innermost = at;
    return python_read_u64(w->m, at + w->l->cframe_frame, &w->frame);
}

/*
 * A call of the evaluator that begins has told its cframe to the thread state, but not yet the
 * frame to the cframe, which lies where an earlier call left something else
 * (_PyEval_EvalFrameDefault in Python/ceval.c of 3.11 and 3.12): what it was called from is known.
 * Where a frame was there, but could not be copied or named, this would leave it out unsaid.
 */
static bool restart_at_caller(struct walk *w)
{
    if (w->doubtful || !w->at->whole)
        return false;
    for (size_t i = 0; i < w->out->n; i++)
        if (w->out->frames[i].last)
            return false;
    if (w->l->cframe_frame == OX_PYTHON_NONE || !w->cframe ||
        python_read_u64(w->m, w->innermost + w->l->cframe_previous, &w->cframe) < 0 ||
        python_read_u64(w->m, w->cframe + w->l->cframe_frame, &w->frame) < 0)
        return false;
    w->out->n = w->shims = 0;
    return true;
}

void python_walk(const struct python_moment *at, const struct python_runtime *r, uint64_t thread,
                 struct python_codes *codes, struct python_stack *ret_stack)
{
    struct walk w = {.at = at, .m = &at->then, .l = &r->layout, .codes = codes, .out = ret_stack};
    ret_stack->n = 0;
    if (begin(&w, thread) < 0) {
        end_with(&w, PYTHON_TORN);
        return;
    }
    while (step(&w))
        ;
    if (ret_stack->end == PYTHON_TORN && restart_at_caller(&w))
        while (step(&w))
            ;
}
