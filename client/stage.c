/* SPDX-License-Identifier: Apache-2.0 */
#include "client/stage.h"

#include <string.h>

#include "meta/stub/messages.h"

static bool is_call(const struct wire_buf *request, const char *method)
{
    size_t at = WIRE_REQUEST_HEAD + 1, len = strlen(method);
    return request->len >= at + len && memcmp(request->data + at, method, len) == 0;
}

enum tally_stage stage_of(const struct step *step)
{
    switch (step->kind) {
    case STEP_CALL:
        if (step->seq == 0)
            return TALLY_LOOKUP;
        return is_call(step->request, METHOD_PUT_START) ? TALLY_START : TALLY_COMMIT;
    case STEP_COPY:
    case STEP_HOLD:
    case STEP_UNHOLD:
        return TALLY_COPY;
    default:
        return TALLY_WAIT;
    }
}
