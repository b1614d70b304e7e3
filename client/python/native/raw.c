/* SPDX-License-Identifier: Apache-2.0 */
#include "client/python/native/raw.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

static int parse_number(PyObject *object, const char *what, unsigned long long *out)
{
    if (!PyLong_Check(object)) {
        PyErr_Format(PyExc_TypeError, "(address, length): the %s is an int, not %R", what,
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    *out = PyLong_AsUnsignedLongLong(object);
    if (!PyErr_Occurred())
        return 0;
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "(address, length): %R is no %s", object, what);
    return -1;
}

int raw_parse(PyObject *pair, struct cenote_buffer *out)
{
    unsigned long long addr = 0, len = 0;

    if (PyTuple_Size(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "a tuple of %zd is no (address, length); pieces are a list",
                     PyTuple_Size(pair));
        return -1;
    }
    if (parse_number(PyTuple_GetItem(pair, 0), "address", &addr) != 0 ||
        parse_number(PyTuple_GetItem(pair, 1), "length", &len) != 0)
        return -1;
    if ((addr == 0 && len > 0) || len > UINTPTR_MAX - addr) {
        PyErr_Format(PyExc_ValueError, "(%llu, %llu) is no memory", addr, len);
        return -1;
    }
    *out = (struct cenote_buffer){(void *)(uintptr_t)addr, (size_t)len};
    return 0;
}

/* By the list of mappings: for kernels before 5.14, and for mappings of devices, which can't be
 * populated. */
static bool is_mapped(uintptr_t begin, uintptr_t end, bool writing)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long from = 0, to = 0;
    char how[5], line[512];

    if (maps == NULL)
        return true; /* nobody can tell */
    while (begin < end && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &from, &to, how) != 3 || to <= begin)
            continue;
        if (from > begin || how[0] != 'r' || (writing && how[1] != 'w'))
            break;
        begin = to;
    }
    fclose(maps);
    return begin >= end;
}

int raw_check(const struct cenote_buffer *memory, bool writing)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t addr = (uintptr_t)memory->addr, begin = addr & ~(page - 1);
    uintptr_t end = addr + memory->len_bytes;

    if (memory->len_bytes == 0)
        return 0;
    int failed =
        madvise((void *)begin, end - begin, writing ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    if (failed == 0 || (errno == EINVAL && is_mapped(begin, end, writing)))
        return 0;
    char text[96];
    snprintf(text, sizeof text, "(0x%lx, %zu) is not mapped for %s", (unsigned long)addr,
             memory->len_bytes, writing ? "writing" : "reading");
    native_raise(CENOTE_BAD_ADDRESS, text);
    return -1;
}
