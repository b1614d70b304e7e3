/* SPDX-License-Identifier: Apache-2.0 */
/* Batches in the background: submit, then fetch completions. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_FLIGHTS_H
#define CENOTE_CLIENT_PYTHON_NATIVE_FLIGHTS_H

#include "client/python/native/handle.h"

/* After the client's end: lets go of what was in flight. */
void flights_forget(struct handle *h);

/* submit_get(keys, buffers, deadline_ms, token) -> id
 * submit_put(keys, values, flags, deadline_ms, token[, policy]) -> id
 * Everything they are given is kept until the completion has been fetched. */
PyObject *flights_submit_get(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *flights_submit_put(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* cancel(id) -> was it in flight? completion_fd() -> a descriptor that is the client's. */
PyObject *flights_cancel(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *flights_descriptor(PyObject *self, PyObject *unused);

/* drain(most, wait_ms) -> [(id, token, status, results, lengths or None)] */
PyObject *flights_drain(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
