/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over local bytes: on its own, as the client's machines need it and do no I/O. */
#include "transport/xcopy.h"

struct xcopy_cursor xcopy_cursor_of(const struct xcopy_local *local)
{
    return (struct xcopy_cursor){
        .piece = local->pieces, .left = local->count, .skip_bytes = local->skip_bytes};
}

size_t xcopy_cursor_next(struct xcopy_cursor *cursor, size_t want, uint8_t **part)
{
    while (cursor->left > 0 && cursor->skip_bytes >= cursor->piece->len_bytes) {
        cursor->skip_bytes -= cursor->piece->len_bytes;
        cursor->piece++;
        cursor->left--;
    }
    if (cursor->left == 0 || want == 0)
        return 0;
    size_t here = cursor->piece->len_bytes - (size_t)cursor->skip_bytes;
    size_t n = here < want ? here : want;
    *part = (uint8_t *)cursor->piece->addr + cursor->skip_bytes;
    cursor->skip_bytes += n;
    return n;
}
