/* SPDX-License-Identifier: MIT */
#include "python/layout.h"

#include <errno.h>
#include <string.h>

/* Places of the words of struct _Py_DebugOffsets that we need. */
enum word {
    WORD_FREE_THREADED,
    WORD_INTERPRETERS,
    WORD_INTERP_NEXT,
    WORD_INTERP_THREADS,
    WORD_INTERP_MODULES,
    WORD_INTERP_GIL,
    WORD_GIL,
    WORD_GIL_LOCKED,
    WORD_GIL_HOLDER,
    WORD_THREAD_NEXT,
    WORD_THREAD_INTERP,
    WORD_THREAD_FRAME,
    WORD_THREAD_ID,
    WORD_THREAD_NATIVE_ID,
    WORD_FRAME_PREVIOUS,
    WORD_FRAME_CODE,
    WORD_FRAME_INSTR,
    WORD_FRAME_LOCALS,
    WORD_FRAME_OWNER,
    WORD_FRAME_TLBC,
    WORD_CODE_SIZE,
    WORD_CODE_FILENAME,
    WORD_CODE_NAME,
    WORD_CODE_QUALNAME,
    WORD_CODE_LINES,
    WORD_CODE_FIRSTLINENO,
    WORD_CODE_INSTRS,
    WORD_CODE_TLBC,
    WORD_OBJECT_TYPE,
    WORD_TYPE_NAME,
    WORD_BYTES_SIZE,
    WORD_BYTES_DATA,
    WORD_UNICODE_STATE,
    WORD_UNICODE_LENGTH,
    WORD_UNICODE_ASCII,
    WORD_N
};

/* 0: this version does not say it. */

/* Include/internal/pycore_runtime.h of v3.13.0; v3.13.15 has the same */
static const uint8_t words_3_13[WORD_N] = {
    [WORD_FREE_THREADED] = 2,
    [WORD_INTERPRETERS] = 5,
    [WORD_INTERP_NEXT] = 8,
    [WORD_INTERP_THREADS] = 9,
    [WORD_INTERP_MODULES] = 11,
    [WORD_INTERP_GIL] = 14,
    [WORD_GIL] = 15,
    [WORD_GIL_LOCKED] = 17,
    [WORD_GIL_HOLDER] = 18,
    [WORD_THREAD_NEXT] = 21,
    [WORD_THREAD_INTERP] = 22,
    [WORD_THREAD_FRAME] = 23,
    [WORD_THREAD_ID] = 24,
    [WORD_THREAD_NATIVE_ID] = 25,
    [WORD_FRAME_PREVIOUS] = 29,
    [WORD_FRAME_CODE] = 30,
    [WORD_FRAME_INSTR] = 31,
    [WORD_FRAME_LOCALS] = 32,
    [WORD_FRAME_OWNER] = 33,
    [WORD_CODE_SIZE] = 34,
    [WORD_CODE_FILENAME] = 35,
    [WORD_CODE_NAME] = 36,
    [WORD_CODE_QUALNAME] = 37,
    [WORD_CODE_LINES] = 38,
    [WORD_CODE_FIRSTLINENO] = 39,
    [WORD_CODE_INSTRS] = 43,
    [WORD_OBJECT_TYPE] = 45,
    [WORD_TYPE_NAME] = 47,
    [WORD_BYTES_SIZE] = 65,
    [WORD_BYTES_DATA] = 66,
    [WORD_UNICODE_STATE] = 68,
    [WORD_UNICODE_LENGTH] = 69,
    [WORD_UNICODE_ASCII] = 70,
};

/* Include/internal/pycore_debug_offsets.h of v3.14.0; v3.14.7 has the same */
static const uint8_t words_3_14[WORD_N] = {
    [WORD_FREE_THREADED] = 2,
    [WORD_INTERPRETERS] = 5,
    [WORD_INTERP_NEXT] = 8,
    [WORD_INTERP_THREADS] = 9,
    [WORD_INTERP_MODULES] = 12,
    [WORD_INTERP_GIL] = 15,
    [WORD_GIL] = 16,
    [WORD_GIL_LOCKED] = 18,
    [WORD_GIL_HOLDER] = 19,
    [WORD_THREAD_NEXT] = 24,
    [WORD_THREAD_INTERP] = 25,
    [WORD_THREAD_FRAME] = 26,
    [WORD_THREAD_ID] = 27,
    [WORD_THREAD_NATIVE_ID] = 28,
    [WORD_FRAME_PREVIOUS] = 32,
    [WORD_FRAME_CODE] = 33,
    [WORD_FRAME_INSTR] = 34,
    [WORD_FRAME_LOCALS] = 35,
    [WORD_FRAME_OWNER] = 36,
    [WORD_FRAME_TLBC] = 38,
    [WORD_CODE_SIZE] = 39,
    [WORD_CODE_FILENAME] = 40,
    [WORD_CODE_NAME] = 41,
    [WORD_CODE_QUALNAME] = 42,
    [WORD_CODE_LINES] = 43,
    [WORD_CODE_FIRSTLINENO] = 44,
    [WORD_CODE_INSTRS] = 48,
    [WORD_CODE_TLBC] = 49,
    [WORD_OBJECT_TYPE] = 51,
    [WORD_TYPE_NAME] = 53,
    [WORD_BYTES_SIZE] = 75,
    [WORD_BYTES_DATA] = 76,
    [WORD_UNICODE_STATE] = 78,
    [WORD_UNICODE_LENGTH] = 79,
    [WORD_UNICODE_ASCII] = 80,
};

enum { WORDS = 81, INTERP_BYTES_MAX = 4 << 20 };

const struct python_layout *python_layout_find(unsigned minor)
{
    static const struct python_layout *const known[] = {
        &python_layout_3_8,  &python_layout_3_9,  &python_layout_3_10,
        &python_layout_3_11, &python_layout_3_12,
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (known[i]->minor == minor)
            return known[i];
    return NULL;
}

static uint32_t figure(const uint8_t *words, const uint8_t *places, enum word word)
{
    uint64_t value = places[word] ? python_u64_at(words, 8 * (size_t)places[word]) : 0;
    return value < INTERP_BYTES_MAX ? (uint32_t)value : OX_PYTHON_NONE;
}

/* Words of these offsets fit into so many bytes. */
static bool all_fit(const uint32_t *offsets, size_t n, uint32_t bytes)
{
    for (size_t i = 0; i < n; i++)
        if ((uint64_t)offsets[i] + 8 > bytes)
            return false;
    return true;
}
#define ALL_FIT(offsets, bytes) all_fit(offsets, sizeof(offsets) / sizeof(*(offsets)), bytes)

static bool makes_sense(const struct python_layout *l)
{
    const uint32_t of_thread[] = {l->thread_next, l->thread_interp, l->thread_id,
                                  l->thread_native_id, l->thread_frame};
    const uint32_t of_frame[] = {l->frame_previous, l->frame_code, l->frame_instr};
    const uint32_t of_code[] = {l->code_name,        l->code_qualname, l->code_filename,
                                l->code_firstlineno, l->code_lines,    l->object_type};
    const uint32_t of_gil[] = {l->gil_holder, l->gil_locked};
    const uint32_t others[] = {l->runtime_interpreters, l->interp_next,    l->interp_threads,
                               l->interp_gil,           l->interp_modules, l->type_name,
                               l->bytes_size,           l->bytes_data,     l->unicode_length,
                               l->unicode_state,        l->unicode_ascii,  l->code_instrs};
    return l->frame_bytes <= PYTHON_FRAME_BYTES_MAX && l->code_bytes <= PYTHON_CODE_BYTES_MAX &&
           ALL_FIT(of_thread, PYTHON_THREAD_BYTES_MAX) && ALL_FIT(of_frame, l->frame_bytes) &&
           ALL_FIT(of_code, l->code_bytes) && ALL_FIT(of_gil, l->gil_bytes) &&
           ALL_FIT(others, INTERP_BYTES_MAX) && l->frame_owner < l->frame_bytes &&
           (l->frame_tlbc == OX_PYTHON_NONE || l->frame_tlbc + 4 <= l->frame_bytes);
}

/* What the interpreter does not say of itself: the headers named above. In free-threaded builds the
 * head of every object is 16 bytes longer. */
static void fill_unsaid(struct python_layout *l)
{
    uint32_t longer = l->free_threaded ? 16 : 0;
    l->type_basicsize = 32 + longer;
    l->type_dictoffset = 288 + longer;
    l->heap_type_keys = 880 + longer;
    l->dict_keys = 32 + longer;
    l->dict_values = 40 + longer;
    l->module_dict = 16 + longer;
    l->long_tag = 16 + longer;
    l->long_digits = 24 + longer;
    l->frames = PYTHON_FRAMES_SHIM;
    l->lines = PYTHON_LOCATIONS;
    l->runtime_gil = OX_PYTHON_NONE;
    l->cframe_frame = l->cframe_previous = l->frame_is_entry = OX_PYTHON_NONE;
    l->owner_generator = 1;
    l->owner_shim = 3; /* FRAME_OWNED_BY_CSTACK; since 3.14 _INTERPRETER, and 4 the other */
    l->gil_bytes = l->free_threaded ? 216 : 208;
    l->unicode_compact = l->unicode_ascii + 16; /* utf8_length, utf8 */
    /* PyASCIIObject.state.interned has a byte for itself in free-threaded builds since 3.14 */
    l->unicode_kind_shift = l->free_threaded && l->minor >= 14 ? 8 : 2;
}

static void fill_said(struct python_layout *l, const uint8_t *words, const uint8_t *places)
{
    uint32_t gil = figure(words, places, WORD_GIL), tlbc = figure(words, places, WORD_FRAME_TLBC);
    l->free_threaded = figure(words, places, WORD_FREE_THREADED) == 1;
    l->runtime_interpreters = figure(words, places, WORD_INTERPRETERS);
    l->interp_next = figure(words, places, WORD_INTERP_NEXT);
    l->interp_threads = figure(words, places, WORD_INTERP_THREADS);
    l->interp_modules = figure(words, places, WORD_INTERP_MODULES);
    l->interp_gil = figure(words, places, WORD_INTERP_GIL);
    l->gil_locked = figure(words, places, WORD_GIL_LOCKED) - gil;
    l->gil_holder = figure(words, places, WORD_GIL_HOLDER) - gil;
    l->thread_next = figure(words, places, WORD_THREAD_NEXT);
    l->thread_interp = figure(words, places, WORD_THREAD_INTERP);
    l->thread_frame = figure(words, places, WORD_THREAD_FRAME);
    l->thread_id = figure(words, places, WORD_THREAD_ID);
    l->thread_native_id = figure(words, places, WORD_THREAD_NATIVE_ID);
    l->frame_previous = figure(words, places, WORD_FRAME_PREVIOUS);
    l->frame_code = figure(words, places, WORD_FRAME_CODE);
    l->frame_instr = figure(words, places, WORD_FRAME_INSTR);
    l->frame_bytes = figure(words, places, WORD_FRAME_LOCALS);
    l->frame_owner = figure(words, places, WORD_FRAME_OWNER);
    l->frame_tlbc = l->free_threaded && tlbc ? tlbc : OX_PYTHON_NONE;
    l->code_bytes = figure(words, places, WORD_CODE_SIZE);
    l->code_filename = figure(words, places, WORD_CODE_FILENAME);
    l->code_name = figure(words, places, WORD_CODE_NAME);
    l->code_qualname = figure(words, places, WORD_CODE_QUALNAME);
    l->code_lines = figure(words, places, WORD_CODE_LINES);
    l->code_firstlineno = figure(words, places, WORD_CODE_FIRSTLINENO);
    l->code_instrs = figure(words, places, WORD_CODE_INSTRS);
    l->code_tlbc = figure(words, places, WORD_CODE_TLBC);
    l->object_type = figure(words, places, WORD_OBJECT_TYPE);
    l->type_name = figure(words, places, WORD_TYPE_NAME);
    l->bytes_size = figure(words, places, WORD_BYTES_SIZE);
    l->bytes_data = figure(words, places, WORD_BYTES_DATA);
    l->unicode_state = figure(words, places, WORD_UNICODE_STATE);
    l->unicode_length = figure(words, places, WORD_UNICODE_LENGTH);
    l->unicode_ascii = figure(words, places, WORD_UNICODE_ASCII);
}

int python_layout_read(const struct python_memory *m, uint64_t runtime, struct python_layout *ret,
                       unsigned *ret_minor)
{
    uint8_t words[8 * WORDS];
    if (python_read(m, words, sizeof(words), runtime) < 0)
        return -EFAULT;
    if (memcmp(words, "xdebugpy", 8) != 0)
        return -ENODATA;
    uint64_t version = python_u64_at(words, 8); /* PY_VERSION_HEX */
    struct python_layout l = {.minor = (unsigned)(version >> 16 & 0xff)};
    *ret_minor = l.minor;
    if (version >> 24 != 3 || l.minor < 13 || l.minor > 14)
        return -ENOTSUP;
    fill_said(&l, words, l.minor == 13 ? words_3_13 : words_3_14);
    fill_unsaid(&l);
    if (!makes_sense(&l))
        return -EBADMSG;
    *ret = l;
    return 0;
}
