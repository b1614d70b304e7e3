/* SPDX-License-Identifier: Apache-2.0 */
/* Views: values looked at where they lie, as objects with the buffer protocol. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_VIEW_H
#define CENOTE_CLIENT_PYTHON_NATIVE_VIEW_H

#include "client/python/native/handle.h"

/* Handle.view(key) -> View. The bytes stay until it was released, or nobody refers to it, and no
 * memoryview or array shows them any more. */
PyObject *view_open(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* Adds the type View. 0, or -1 with an exception. */
int view_init(PyObject *module);

#endif
