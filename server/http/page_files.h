/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the status page, server/page/, as the build has made them part of the program. */
#ifndef CENOTE_HTTP_PAGE_FILES_H
#define CENOTE_HTTP_PAGE_FILES_H

#include <stddef.h>

struct embedded {
    const char *name; /* NULL behind the last */
    const unsigned char *bytes;
    size_t len_bytes;
    const char *etag; /* of its content, with the quotation marks */
};

extern const struct embedded page_files[];

#endif
