#include "ring/link/turn_away.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/link/link.h"

/* What it has sent is taken unseen: bytes that are unread at the close would make the kernel send a
 * reset, which can overtake the answer. */
void turn_away_with(int fd, const void *answer, size_t answer_bytes)
{
    uint8_t unseen[LINK_HEAD_BYTES_MAX];
    (void)!recv(fd, unseen, sizeof unseen, MSG_DONTWAIT);
    (void)!send(fd, answer, answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

void turn_away_write_alert(uint8_t out[TURN_AWAY_ALERT_BYTES], enum tls_alert alert)
{
    const uint8_t record[] = {TLS_ALERT, 3, 3, 0, 2, TLS_ALERT_FATAL, (uint8_t)alert};
    static_assert(sizeof record == TURN_AWAY_ALERT_BYTES, "a header and two bytes");
    memcpy(out, record, sizeof record);
}

void turn_away_by_alert(int fd, enum tls_alert alert)
{
    uint8_t record[TURN_AWAY_ALERT_BYTES];
    turn_away_write_alert(record, alert);
    turn_away_with(fd, record, sizeof record);
}
