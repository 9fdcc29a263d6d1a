/* yes_no: the words for true and false, as people write them. */
#ifndef RINGCAST_CODEC_BASE_YES_NO_H
#define RINGCAST_CODEC_BASE_YES_NO_H

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>

/* Whether text is one of them, in any case. Only then *flag_out is set. */
static inline bool yes_no_parse(const char *text, bool *flag_out)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int flag = 0; flag < 2; flag++) {
            if (strcasecmp(text, words[i][flag]) == 0) {
                *flag_out = flag == 1;
                return true;
            }
        }
    }
    return false;
}

#endif
