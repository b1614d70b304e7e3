/* SPDX-License-Identifier: Apache-2.0 */
/* How values are kept: what puts say of it, and methods of a handle that change and tell it. */
#ifndef CENOTE_CLIENT_PYTHON_NATIVE_POLICY_H
#define CENOTE_CLIENT_PYTHON_NATIVE_POLICY_H

#include <cenote/policy.h>

#include "client/python/native/handle.h"

/* A policy in C, and whether there is one. */
struct policy {
    struct cenote_policy value;
    bool given;
};

/* From Python's (ttl_ms, pin, pin_ms, group or None), to which the group's bytes belong, or None.
 * 0, or -1 with an exception. */
int policy_parse(PyObject *object, struct policy *out);

/* The last one of a call's arguments, which may be left out. 0, or -1 with an exception. */
int policy_parse_last(PyObject *const *args, Py_ssize_t given, Py_ssize_t most, struct policy *out);

/* As libcenote takes it. */
static inline const struct cenote_policy *policy_or_null(const struct policy *p)
{
    return p->given ? &p->value : NULL;
}

/* set_policy(keys, policy, fields) -> statuses */
PyObject *policy_set(PyObject *self, PyObject *const *args, Py_ssize_t count);
/* get_policy(key) -> (ttl left in ms, pin, of a soft pin what is left in ms, group) */
PyObject *policy_get(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
