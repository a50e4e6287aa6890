/* SPDX-License-Identifier: MIT */
#include "python/layout.h"

/*
 * Taken by offsetof() from the headers of CPython's tags v3.11.0 and those after it, which agree:
 * 3.11.0 to 3.11.16.
 */
const struct python_layout python_layout_3_11 = {
    .minor = 11,
    .frames = PYTHON_FRAMES_3_11,
    .lines = PYTHON_LOCATIONS,
    /* _PyRuntimeState, PyInterpreterState: Include/internal/pycore_runtime.h, pycore_interp.h */
    .runtime_interpreters = 40,
    .runtime_gil = 360,
    .interp_next = 0,
    .interp_threads = 16,
    .interp_modules = 888,
    .interp_gil = OX_PYTHON_NONE,
    /* struct _gil_runtime_state: Include/internal/pycore_gil.h */
    .gil_bytes = 208,
    .gil_holder = 8,
    .gil_locked = 16,
    /* PyThreadState, _PyCFrame: Include/cpython/pystate.h */
    .thread_next = 8,
    .thread_interp = 16,
    .thread_id = 152,
    .thread_native_id = 160,
    .thread_frame = 56,
    .cframe_frame = 8,
    .cframe_previous = 16,
    /* _PyInterpreterFrame: Include/internal/pycore_frame.h */
    .frame_previous = 48,
    .frame_code = 32,
    .frame_instr = 56,
    .frame_owner = 69,
    .frame_is_entry = 68,
    .frame_tlbc = OX_PYTHON_NONE,
    .owner_generator = 1,
    .owner_shim = 255,
    .frame_bytes = 72,
    /* PyCodeObject: Include/cpython/code.h */
    .code_name = 120,
    .code_qualname = 128,
    .code_filename = 112,
    .code_firstlineno = 72,
    .code_lines = 136,
    .code_instrs = 184,
    .code_tlbc = OX_PYTHON_NONE,
    .code_bytes = 192,
    /* PyObject, PyTypeObject, PyASCIIObject, PyBytesObject: Include/object.h,
     * Include/cpython/object.h, Include/cpython/unicodeobject.h, Include/cpython/bytesobject.h */
    .object_type = 8,
    .type_name = 24,
    .unicode_length = 16,
    .unicode_state = 32,
    .unicode_ascii = 48,
    .unicode_compact = 72,
    .unicode_kind_shift = 2,
    /* PyTypeObject, PyHeapTypeObject, PyDictObject, PyModuleObject, PyLongObject */
    .type_basicsize = 32,
    .type_dictoffset = 288,
    .heap_type_keys = 872,
    .dict_keys = 32,
    .dict_values = 40,
    .module_dict = 16,
    .long_tag = 16,
    .long_digits = 24,
    .bytes_size = 16,
    .bytes_data = 32,
};
