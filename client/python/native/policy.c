/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/policy.h"

#include "client/python/native/keys.h"
#include "client/python/native/names.h"

int policy_parse(PyObject *object, struct policy *out)
{
    unsigned long long ttl_ms = 0, pin_ms = 0;
    unsigned pin = 0;
    const char *group = NULL;
    Py_ssize_t group_len = 0;

    *out = (struct policy){.given = object != Py_None};
    if (!out->given)
        return 0;
    if (!PyTuple_Check(object)) {
        PyErr_Format(PyExc_TypeError, "a policy is a tuple, not %R", (PyObject *)Py_TYPE(object));
        return -1;
    }
    if (!PyArg_ParseTuple(object, "KIKz#", &ttl_ms, &pin, &pin_ms, &group, &group_len))
        return -1;
    out->value = (struct cenote_policy){.ttl_ms = ttl_ms,
                                        .pin = pin,
                                        .pin_ms = pin_ms,
                                        .group = group,
                                        .group_len_bytes = (size_t)group_len};
    return 0;
}

int policy_parse_last(PyObject *const *args, Py_ssize_t given, Py_ssize_t most, struct policy *out)
{
    return policy_parse(given == most ? args[most - 1] : Py_None, out);
}

struct change {
    struct policy policy;
    uint32_t fields;
};

static void set_policies(struct cenote *client, const struct cenote_key *keys, size_t count,
                         int *statuses, const void *arg)
{
    const struct change *change = arg;
    cenote_set_policy(client, keys, count, policy_or_null(&change->policy), change->fields,
                      statuses);
}

PyObject *policy_set(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct change change;

    if (native_arity("set_policy", count, 3) != 0 || policy_parse(args[1], &change.policy) != 0 ||
        native_u32(args[2], &change.fields) != 0)
        return NULL;
    return names_change((struct handle *)self, args[0], set_policies, &change);
}

PyObject *policy_get(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct handle *h = (struct handle *)self;
    struct cenote_key key;
    struct cenote_kept kept = {0};
    int status = CENOTE_OK;

    if (native_arity("get_policy", count, 1) != 0 || key_parse(args[0], &key) != 0)
        return NULL;
    struct cenote *client = handle_enter(h);
    if (client == NULL)
        return NULL;
    Py_BEGIN_ALLOW_THREADS;
    status = cenote_get_policy(client, key.data, key.len_bytes, &kept);
    Py_END_ALLOW_THREADS;
    handle_leave(h);
    if (status != CENOTE_OK)
        return native_raise_key(status, args[0]);
    return Py_BuildValue("KIKy#", (unsigned long long)kept.ttl_left_ms, kept.pin,
                         (unsigned long long)kept.pin_left_ms, (const char *)kept.group,
                         (Py_ssize_t)kept.group_len_bytes);
}
