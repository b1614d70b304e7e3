/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of values. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_RANGES_H
#define CENOTE_CLIENT_PYTHON_NATIVE_RANGES_H

#include "client/python/native/handle.h"

/* Handle.get_ranges(keys, offsets, buffers) -> [(status, length of the value, put id)] */
PyObject *ranges_get(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
