/* SPDX-License-Identifier: Apache-2.0 */
/* Methods of a handle that put and get whole values, and wait for it. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_VALUES_H
#define CENOTE_CLIENT_PYTHON_NATIVE_VALUES_H

#include "client/python/native/handle.h"

/* put(key, value, flags[, policy]) -> was it stored, and not there already? policy: see
 * policy_parse() */
PyObject *values_put(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* get(key) -> bytes; get_into(key, buffer) -> length */
PyObject *values_get(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *values_get_into(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* put_batch(keys, values, flags[, policy]) -> statuses
 * get_batch(keys, buffers) -> lengths or statuses */
PyObject *values_put_batch(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *values_get_batch(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
