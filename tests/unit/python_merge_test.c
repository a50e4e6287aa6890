/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "python/merge.h"

/*
 * Stacks are written innermost first, one character a frame. Native: E an evaluator, h a helper,
 * any other letter a C function; native frame i has its stack pointer at 16 * (i + 1). Python:
 * digits; a digit is followed by the place of the evaluator that it was the outermost frame of, as
 * the letter of the native frame (A the first), or by '?' where that is not known.
 */
static size_t read_native(const char *text, struct native_frame *frames)
{
    size_t n = 0;
    for (; text[n]; n++)
        frames[n] = (struct native_frame){.sp = 16 * (n + 1),
                                          .role = text[n] == 'E'   ? NATIVE_EVALUATOR
                                                  : text[n] == 'h' ? NATIVE_HELPER
                                                                   : NATIVE_OTHER};
    return n;
}

static size_t read_python(const char *text, struct python_frame *frames, char *names)
{
    size_t n = 0;
    for (; *text && *text != '~'; text++) {
        if (*text >= '0' && *text <= '9') {
            frames[n] = (struct python_frame){0};
            names[n++] = *text;
            continue;
        }
        frames[n - 1].last = true;
        frames[n - 1].c_addr = *text == '?' ? 0 : 16 * (uint64_t)(*text - 'A' + 1) + 8;
    }
    return n;
}

static void expect(const char *native, const char *python, bool complete, const char *want,
                   bool mismatch)
{
    struct native_frame native_frames[64];
    struct python_frame python_frames[64];
    struct merged_frame merged_frames[128];
    struct merged_stack merged = {.frames = merged_frames};
    char names[64], got[129] = "";
    size_t n_native = read_native(native, native_frames);
    size_t n_python = read_python(python, python_frames, names);
    python_merge(native_frames, n_native, complete, python_frames, n_python, !strchr(python, '~'),
                 &merged);
    for (size_t i = 0; i < merged.n; i++)
        got[i] = merged_frames[i].python ? names[merged_frames[i].index]
                                         : native[merged_frames[i].index];
    cr_expect_str_eq(got, want, "%s and %s: %s, want %s", native, python, got, want);
    cr_expect_eq(merged.mismatch, mismatch, "%s and %s", native, python);
}

Test(python_merge, plain_calls_stay_in_one_evaluator)
{
    expect("Emain", "123A", true, "123main", false);
    expect("zEmain", "123B", true, "z123main", false);
    expect("Emain", "1A", true, "1main", false);
    expect("zmain", "12A", true, "12main", false); /* known by its address alone: no symbols */
}

Test(python_merge, c_code_that_calls_back_stays)
{
    expect("kEsEmain", "12B3D", true, "k12s3main", false);
    expect("Ehshhhhmain", "1A", true, "1hshhhhmain", false);
    expect("EhshEm", "1A2E", true, "1hsh2m", false);
}

Test(python_merge, helpers_between_calls_are_left_out)
{
    expect("EhhEm", "1A2D", true, "12m", false);
    expect("EhEEhm", "1A2C3D", true, "123hm", false);
    expect("zhEhEm", "1C2E", true, "zh12m", false);
}

Test(python_merge, a_call_that_begins_or_ends)
{
    expect("EhEm", "1C", true, "h1m", false);
    expect("dEhEm", "1D", true, "dh1m", false);
    expect("EEm", "1?", true, "1m", false);
    expect("Em", "", true, "m", false);
}

Test(python_merge, one_frame_for_each_evaluator)
{
    expect("EhEhEm", "1?2?3?", true, "123m", false);
    expect("zEsEhEm", "1?2?3?", true, "z1s23m", false);
    expect("zEhEhEm", "1?2?", true, "zh12m", false);
}

Test(python_merge, what_does_not_fit_is_all_shown)
{
    expect("zEm", "1?2?3?", true, "12z3m", true);
    expect("zEEEm", "1?", true, "zE1m", true);
    expect("zEEEm", "1D", true, "zE1m", true);
    expect("zm", "1?", true, "1zm", true);
}

Test(python_merge, a_native_stack_that_was_cut)
{
    expect("zEs", "1B2Z", false, "z1s2", false);
    expect("zE", "12B3Y4Z", false, "z1234", false);
    expect("zEhE", "1?2?3?4?", false, "z1234", false);
    expect("z", "12Y3Z", false, "z123", false);
}

/* "~": the outermost Python frames could not be read */
Test(python_merge, a_python_stack_that_was_cut)
{
    expect("zEhEhEm", "1?2?~", true, "z12hEm", true);
    expect("zEhEhEm", "1?2?3?~", true, "z123m", false);
    expect("zEhE", "1?~", false, "z1hE", true);
}

Test(python_merge, the_frame_that_ran_it_is_missing)
{
    struct native_frame native[] = {{.sp = 100}, {.sp = 200}};
    struct python_frame python[] = {{.last = true, .c_addr = 50}};
    struct merged_frame frames[8];
    struct merged_stack merged = {.frames = frames};
    python_merge(native, 2, true, python, 1, true, &merged);
    cr_expect_eq(merged.n, 3);
    cr_expect(merged.mismatch && frames[0].python && !frames[1].python);
}
