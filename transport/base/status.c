/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>

const char *cenote_status_text(int status)
{
    switch (status) {
#define STATUS_TEXT(name, number, text)                                                            \
    case number:                                                                                   \
        return text;
        CENOTE_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

const char *cenote_status_name(int status)
{
    switch (status) {
#define STATUS_NAME(name, number, text)                                                            \
    case number:                                                                                   \
        return #name;
        CENOTE_STATUS_MAP(STATUS_NAME)
#undef STATUS_NAME
    default:
        return "?";
    }
}
